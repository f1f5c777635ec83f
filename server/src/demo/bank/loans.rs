//! loans_db: loans, and how they are paid back.

use chrono::{Months, NaiveDate};

use super::customers::Customer;
use super::employees::{Branch, nearest};
use super::{Database, day_since, today};
use crate::demo::random::Random;
use crate::demo::table::{Money, Table};

#[derive(Debug)]
struct Loan {
    id: i64,
    customer: i64,
    branch: String,
    kind: &'static str,
    principal: i64,
    /// Percent a year, in hundredths.
    rate: i64,
    months: u32,
    disbursed: NaiveDate,
    /// What falls due each month, in hundredths.
    instalment: i64,
    is_late: bool,
}

pub(super) fn database(seed: u64, customers: &[Customer], branches: &[Branch]) -> Database {
    let loans = loans(seed, customers, branches);
    Database {
        id: "loans_db",
        name: "Loans",
        description: "Loans, and how they are paid back",
        tables: vec![loan_table(&loans), repayments(seed, &loans)],
    }
}

fn loans(seed: u64, customers: &[Customer], branches: &[Branch]) -> Vec<Loan> {
    let mut random = Random::new(seed, "loans");
    (1..=6_000)
        .map(|at| {
            let customer = random.pick(customers);
            let (kind, median, rate, months) = random.weighted(&[
                (("car", 620_000.0, 910, 60), 19.0),
                (("education", 480_000.0, 1_040, 84), 8.0),
                (("gold", 95_000.0, 1_180, 24), 21.0),
                (("home", 2_900_000.0, 860, 240), 24.0),
                (("personal", 180_000.0, 1_390, 36), 28.0),
            ]);
            let principal = random.cents(median * customer.affluence().sqrt(), 0.55);
            let rate = rate + random.between(-60, 140);
            let monthly = rate as f64 / 120_000.0;
            let instalment = principal as f64 * monthly / (1.0 - (1.0 + monthly).powi(-(months as i32)));
            Loan {
                id: 700_000 + at,
                customer: customer.id,
                branch: nearest(&mut random, branches, customer.state).code.clone(),
                kind,
                principal,
                rate,
                months,
                disbursed: day_since(&mut random, customer.since),
                instalment: instalment.round() as i64,
                is_late: random.chance(0.07),
            }
        })
        .collect()
}

fn loan_table(loans: &[Loan]) -> Table {
    let mut table = Table::new(
        "loans",
        "One row for each loan",
        &[
            ("loan_id", "bigint PRIMARY KEY"),
            ("customer_id", "bigint NOT NULL"),
            ("branch_code", "text NOT NULL"),
            ("loan_type", "text NOT NULL"),
            ("principal", "numeric(16,2) NOT NULL"),
            ("annual_rate", "numeric(5,2) NOT NULL"),
            ("tenure_months", "integer NOT NULL"),
            ("disbursed_on", "date NOT NULL"),
            ("status", "text NOT NULL"),
        ],
    );
    for loan in loans {
        let is_over = loan.disbursed + Months::new(loan.months) <= today();
        let status = match (is_over, loan.is_late) {
            (true, _) => "closed",
            (false, true) => "overdue",
            (false, false) => "active",
        };
        table.row([
            &loan.id,
            &loan.customer,
            &loan.branch,
            &loan.kind,
            &Money(loan.principal),
            &Money(loan.rate),
            &loan.months,
            &loan.disbursed,
            &status,
        ]);
    }
    table
}

fn repayments(seed: u64, loans: &[Loan]) -> Table {
    let mut random = Random::new(seed, "repayments");
    let mut table = Table::new(
        "repayments",
        "Instalments of the last twelve months, and the days by which each was late",
        &[
            ("repayment_id", "bigint PRIMARY KEY"),
            ("loan_id", "bigint NOT NULL REFERENCES loans"),
            ("due_on", "date NOT NULL"),
            ("amount", "numeric(14,2) NOT NULL"),
            ("days_late", "integer NOT NULL"),
        ],
    );
    let first = today() - Months::new(12);
    let mut id = 0_i64;
    for loan in loans {
        let dues = (1..=loan.months).map(|month| loan.disbursed + Months::new(month));
        for due in dues.filter(|due| *due > first && *due <= today()) {
            id += 1;
            let chance = if loan.is_late { 0.6 } else { 0.04 };
            let late = if random.chance(chance) { random.log_normal(9.0, 0.8) as i64 + 1 } else { 0 };
            table.row([&id, &loan.id, &due, &Money(loan.instalment), &late]);
        }
    }
    table
}
