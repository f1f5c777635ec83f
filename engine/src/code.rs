//! The error contract: one code per way a query can go wrong, mapped exhaustively to HTTP and gRPC.
//!
//! A code says who can mend it and how; it never says where in the code it arose.

use std::fmt;

/// What is wrong, in the words that every door uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the contract; the table in the README explains them")]
pub enum Code {
    InvalidSql,
    InvalidArgument,
    ArithmeticError,
    AmbiguousName,
    UnsupportedSql,
    ReadOnly,
    DesignMissing,
    WeightRequired,
    JoinMultiplies,
    Unauthenticated,
    PermissionDenied,
    DisclosureRefused,
    DatasetNotFound,
    TableNotFound,
    ColumnNotFound,
    FunctionNotFound,
    QueryNotFound,
    NotAcceptable,
    PayloadTooLarge,
    Conflict,
    ResultTooLarge,
    OutOfMemory,
    BudgetExceeded,
    RateLimited,
    SourceRejected,
    DataInvalid,
    SchemaChanged,
    SourceUnavailable,
    Overloaded,
    DeadlineExceeded,
    Cancelled,
    Internal,
}

/// gRPC status numbers, as the protocol defines them; `engine` does not link a gRPC library for thirteen numbers.
mod grpc {
    pub(super) const CANCELLED: i32 = 1;
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const DEADLINE_EXCEEDED: i32 = 4;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const ABORTED: i32 = 10;
    pub(super) const UNIMPLEMENTED: i32 = 12;
    pub(super) const INTERNAL: i32 = 13;
    pub(super) const UNAVAILABLE: i32 = 14;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

impl Code {
    const ALL: [Code; 32] = [
        Code::InvalidSql,
        Code::InvalidArgument,
        Code::ArithmeticError,
        Code::AmbiguousName,
        Code::UnsupportedSql,
        Code::ReadOnly,
        Code::DesignMissing,
        Code::WeightRequired,
        Code::JoinMultiplies,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::DisclosureRefused,
        Code::DatasetNotFound,
        Code::TableNotFound,
        Code::ColumnNotFound,
        Code::FunctionNotFound,
        Code::QueryNotFound,
        Code::NotAcceptable,
        Code::PayloadTooLarge,
        Code::Conflict,
        Code::ResultTooLarge,
        Code::OutOfMemory,
        Code::BudgetExceeded,
        Code::RateLimited,
        Code::SourceRejected,
        Code::DataInvalid,
        Code::SchemaChanged,
        Code::SourceUnavailable,
        Code::Overloaded,
        Code::DeadlineExceeded,
        Code::Cancelled,
        Code::Internal,
    ];

    /// The code that is written so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// The code's row of the contract: its name, its HTTP status and its gRPC status number.
    const fn row(self) -> (&'static str, u16, i32) {
        match self {
            Code::InvalidSql => ("invalid_sql", 400, grpc::INVALID_ARGUMENT),
            Code::InvalidArgument => ("invalid_argument", 400, grpc::INVALID_ARGUMENT),
            Code::ArithmeticError => ("arithmetic_error", 400, grpc::INVALID_ARGUMENT),
            Code::AmbiguousName => ("ambiguous_name", 400, grpc::INVALID_ARGUMENT),
            Code::UnsupportedSql => ("unsupported_sql", 422, grpc::UNIMPLEMENTED),
            Code::ReadOnly => ("read_only", 422, grpc::FAILED_PRECONDITION),
            Code::DesignMissing => ("design_missing", 422, grpc::FAILED_PRECONDITION),
            Code::WeightRequired => ("weight_required", 422, grpc::FAILED_PRECONDITION),
            Code::JoinMultiplies => ("join_multiplies", 422, grpc::FAILED_PRECONDITION),
            Code::Unauthenticated => ("unauthenticated", 401, grpc::UNAUTHENTICATED),
            Code::PermissionDenied => ("permission_denied", 403, grpc::PERMISSION_DENIED),
            Code::DisclosureRefused => ("disclosure_refused", 403, grpc::PERMISSION_DENIED),
            Code::DatasetNotFound => ("dataset_not_found", 404, grpc::NOT_FOUND),
            Code::TableNotFound => ("table_not_found", 404, grpc::NOT_FOUND),
            Code::ColumnNotFound => ("column_not_found", 404, grpc::NOT_FOUND),
            Code::FunctionNotFound => ("function_not_found", 404, grpc::NOT_FOUND),
            Code::QueryNotFound => ("query_not_found", 404, grpc::NOT_FOUND),
            Code::NotAcceptable => ("not_acceptable", 406, grpc::INVALID_ARGUMENT),
            Code::PayloadTooLarge => ("payload_too_large", 413, grpc::INVALID_ARGUMENT),
            Code::Conflict => ("conflict", 409, grpc::ABORTED),
            Code::ResultTooLarge => ("result_too_large", 422, grpc::RESOURCE_EXHAUSTED),
            Code::OutOfMemory => ("out_of_memory", 422, grpc::RESOURCE_EXHAUSTED),
            Code::BudgetExceeded => ("budget_exceeded", 422, grpc::RESOURCE_EXHAUSTED),
            Code::RateLimited => ("rate_limited", 429, grpc::RESOURCE_EXHAUSTED),
            Code::SourceRejected => ("source_rejected", 502, grpc::FAILED_PRECONDITION),
            Code::DataInvalid => ("data_invalid", 502, grpc::FAILED_PRECONDITION),
            Code::SchemaChanged => ("schema_changed", 502, grpc::FAILED_PRECONDITION),
            Code::SourceUnavailable => ("source_unavailable", 503, grpc::UNAVAILABLE),
            Code::Overloaded => ("overloaded", 503, grpc::UNAVAILABLE),
            Code::DeadlineExceeded => ("deadline_exceeded", 504, grpc::DEADLINE_EXCEEDED),
            Code::Cancelled => ("cancelled", 499, grpc::CANCELLED),
            Code::Internal => ("internal", 500, grpc::INTERNAL),
        }
    }

    /// The code as it is written on every door, such as `table_not_found`.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that carries this code.
    pub const fn http_status(self) -> u16 {
        self.row().1
    }

    /// The gRPC status number that carries this code.
    pub const fn grpc_status(self) -> i32 {
        self.row().2
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
