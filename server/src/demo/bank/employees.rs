//! employees_db: branches, and who works there.

use chrono::NaiveDate;

use super::{Database, day_within};
use crate::demo::india;
use crate::demo::random::Random;
use crate::demo::table::{Maybe, Money, Table};

/// What the other databases know of a branch.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) code: String,
    pub(super) city: &'static str,
    pub(super) state: &'static india::State,
    opened: NaiveDate,
}

/// Branches, sorted by code, three or more in each state.
pub(super) fn branches(seed: u64) -> Vec<Branch> {
    let mut random = Random::new(seed, "branches");
    let states = india::STATES.iter().flat_map(|state| std::iter::repeat_n(state, 3 + (state.share * 1.4) as usize));
    states
        .enumerate()
        .map(|(at, state)| Branch {
            code: format!("WB{:04}", at + 1),
            city: india::any_city(&mut random, state),
            state,
            opened: day_within(&mut random, 40),
        })
        .collect()
}

/// A branch in the customer's state.
pub(super) fn nearest<'a>(random: &mut Random, branches: &'a [Branch], state: &india::State) -> &'a Branch {
    let first = branches.partition_point(|branch| branch.state.name < state.name);
    let local = branches[first..].iter().take_while(|branch| branch.state.name == state.name).count();
    &branches[first + random.between(0, local as i64 - 1) as usize]
}

pub(super) fn database(seed: u64, branches: &[Branch]) -> Database {
    Database {
        id: "employees_db",
        name: "Employees",
        description: "Branches and the people who work there",
        tables: vec![branch_table(branches), employees(seed, branches)],
    }
}

fn branch_table(branches: &[Branch]) -> Table {
    let mut table = Table::new(
        "branches",
        "One row for each branch",
        &[
            ("branch_code", "text PRIMARY KEY"),
            ("city", "text NOT NULL"),
            ("state", "text NOT NULL"),
            ("zone", "text NOT NULL"),
            ("opened_on", "date NOT NULL"),
        ],
    );
    for branch in branches {
        table.row([&branch.code, &branch.city, &branch.state.name, &branch.state.zone, &branch.opened]);
    }
    table
}

fn employees(seed: u64, branches: &[Branch]) -> Table {
    let mut random = Random::new(seed, "employees");
    let mut table = Table::new(
        "employees",
        "Who works where; the first one of a branch manages it",
        &[
            ("employee_id", "bigint PRIMARY KEY"),
            ("name", "text NOT NULL"),
            ("gender", "text NOT NULL"),
            ("branch_code", "text NOT NULL REFERENCES branches"),
            ("role", "text NOT NULL"),
            ("manager_id", "bigint"),
            ("hired_on", "date NOT NULL"),
            ("monthly_salary", "numeric(12,2) NOT NULL"),
        ],
    );
    let mut id = 0;
    for branch in branches {
        let manager = id + 1;
        for place in 0..random.between(8, 24) {
            id += 1;
            let gender = random.weighted(&[("F", 38.0), ("M", 62.0)]);
            let (role, median) = match place {
                0 => ("branch manager", 120_000.0),
                _ => random.weighted(&[
                    (("clerk", 34_000.0), 6.0),
                    (("loan officer", 62_000.0), 2.0),
                    (("relationship manager", 71_000.0), 2.0),
                    (("teller", 31_000.0), 5.0),
                ]),
            };
            let salary = Money(random.cents(median, 0.18));
            let name = india::full_name(&mut random, gender);
            let reports_to = Maybe((place > 0).then_some(manager));
            let hired = day_within(&mut random, 22);
            table.row([&id, &name, &gender, &branch.code, &role, &reports_to, &hired, &salary]);
        }
    }
    table
}
