//! What is wrong in a home: each problem with its file, its key path, and what to write instead.
//!
//! Values that came from the environment are never repeated here: they may be secrets.

use std::fmt;

/// One thing that is wrong in a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as a path from the home folder.
    pub file: String,
    /// The line in it, where that is known.
    pub line: Option<usize>,
    /// The key path in it, such as `http.listen`; empty where the whole file is meant.
    pub key: String,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong at one place of a home.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The home folder is missing.
    #[error("the home folder does not exist")]
    NoHome,
    /// A file cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// A file is not YAML.
    #[error("this is not valid YAML: {0}")]
    Syntax(String),
    /// A key that nothing reads.
    #[error("unknown key{}", meant(.near, .known))]
    UnknownKey {
        /// The nearest known key.
        near: Option<String>,
        /// All known keys.
        known: Vec<String>,
    },
    /// A key that must be given.
    #[error("this key is missing")]
    Missing,
    /// A value of the wrong type; `found` is None where it came from the environment.
    #[error("expected {expected}{}", seen(.found))]
    WrongType {
        /// What is expected, in words.
        expected: String,
        /// What stands there.
        found: Option<String>,
    },
    /// A value outside a closed list; `found` is None where it came from the environment.
    #[error("expected one of {}{}{}", .allowed.join(", "), seen(.found), meant(.near, &[]))]
    NotOneOf {
        /// What is allowed.
        allowed: Vec<String>,
        /// What stands there.
        found: Option<String>,
        /// The nearest allowed value.
        near: Option<String>,
    },
    /// An environment variable without a value and without a default.
    #[error(
        "the environment variable {0} is not set, and there is no default; set it, or write ${{{0}:default}}, or give it to Weft: weft secrets set {0}"
    )]
    UnsetVariable(String),
    /// A `${` that cannot be read.
    #[error("this is not a variable: write ${{NAME}} or ${{NAME:default}}, and $${{ for a plain ${{")]
    BadVariable,
    /// A name that is not the name of anything.
    #[error("there is no {what} \"{name}\"{}", meant(.near, &[]))]
    Unknown {
        /// What is looked for, such as `source`.
        what: &'static str,
        /// The name that was written.
        name: String,
        /// The nearest one that exists.
        near: Option<String>,
    },
    /// An id that SQL could not name.
    #[error(
        "\"{0}\" cannot be an id: write lower-case letters, digits and underscores, a letter or underscore first, at most 63"
    )]
    InvalidId(String),
    /// An id that has a meaning of its own.
    #[error("\"{0}\" is reserved: choose another id")]
    ReservedId(String),
    /// An id that two places declare.
    #[error("\"{id}\" is declared in {other} too: choose another id")]
    Duplicate {
        /// The id.
        id: String,
        /// Where else it is declared.
        other: String,
    },
    /// Two settings that exclude each other, or anything else that only a sentence can say.
    #[error("{0}")]
    Rejected(String),
}

fn meant(near: &Option<String>, known: &[String]) -> String {
    match near {
        Some(near) => format!(" (did you mean \"{near}\"?)"),
        None if known.is_empty() => String::new(),
        None => format!(" (known keys: {})", engine::names::listing(known.iter().map(String::as_str))),
    }
}

fn seen(found: &Option<String>) -> String {
    found.as_ref().map(|found| format!(", found {found}")).unwrap_or_default()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// Everything that is wrong in a home, one per line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems, in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says of each problem in which line it is, by its file and its key path.
    pub(crate) fn locate(&mut self, line: impl Fn(&str, &str) -> Option<usize>) {
        for problem in &mut self.0 {
            // What is no YAML says its line itself, and so does what has no key.
            if !problem.key.is_empty() {
                problem.line = line(&problem.file, &problem.key);
            }
        }
    }

    pub(crate) fn add(&mut self, file: &str, key: impl Into<String>, fault: Fault) {
        self.0.push(Problem { file: file.to_owned(), line: None, key: key.into(), fault });
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
