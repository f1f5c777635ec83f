//! A bank of six databases: customers, accounts, loans, insurance, compliance, employees.
//!
//! Rows refer to each other across databases as a bank's do: an account's customer exists, so does its branch. They are
//! made as CSV, which is what COPY reads and what the embedded form is made from.

mod accounts;
mod compliance;
mod customers;
mod employees;
mod insurance;
mod loans;

use chrono::{NaiveDate, NaiveTime, TimeDelta};

use super::random::Random;
use super::table::{Moment, Table};

/// One database of the bank; its id is the dataset's.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) tables: Vec<Table>,
}

/// A customer as the panel knows them, where they agreed to be linked.
#[derive(Debug)]
pub(super) struct Linkable {
    pub(super) customer: i64,
    pub(super) gender: &'static str,
    pub(super) age: i32,
    pub(super) state: &'static str,
}

/// All customers, in an order that tells nothing.
pub(super) fn linkable(seed: u64) -> Vec<Linkable> {
    let mut random = Random::new(seed, "linkable");
    let mut customers: Vec<(f64, Linkable)> = customers::customers(seed)
        .into_iter()
        .map(|customer| {
            let age = ((today() - customer.born).num_days() as f64 / 365.25) as i32;
            let linkable = Linkable { customer: customer.id, gender: customer.gender, age, state: customer.state.name };
            (random.unit(), linkable)
        })
        .collect();
    customers.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    customers.into_iter().map(|(_, linkable)| linkable).collect()
}

/// The whole bank.
pub(super) fn databases(seed: u64) -> Vec<Database> {
    let branches = employees::branches(seed);
    let customers = customers::customers(seed);
    let accounts = accounts::accounts(seed, &customers, &branches);
    vec![
        accounts::database(seed, &customers, &accounts),
        compliance::database(seed, &customers),
        customers::database(seed, &customers),
        employees::database(seed, &branches),
        insurance::database(seed, &customers),
        loans::database(seed, &customers, &branches),
    ]
}

/// How many customers there are; their ids count from 1.
pub(super) const CUSTOMERS: i64 = 20_000;

/// The last day of the demo's world.
fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 31).unwrap_or_default()
}

/// A day up to `years` ago.
fn day_within(random: &mut Random, years: i64) -> NaiveDate {
    today() - TimeDelta::days(random.between(1, years * 365))
}

/// A day between `first` and today.
fn day_since(random: &mut Random, first: NaiveDate) -> NaiveDate {
    first + TimeDelta::days(random.between(0, (today() - first).num_days().max(0)))
}

/// A moment of that day, within business hours.
fn moment(random: &mut Random, day: NaiveDate) -> Moment {
    Moment(day.and_time(NaiveTime::MIN) + TimeDelta::seconds(random.between(8 * 3600, 20 * 3600)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn column<'a>(databases: &'a [Database], database: &str, table: &str, column: &str) -> Vec<&'a str> {
        let table =
            databases.iter().find(|d| d.id == database).unwrap().tables.iter().find(|t| t.name == table).unwrap();
        let at = table.columns.iter().position(|(name, _)| *name == column).unwrap();
        table.csv.lines().map(|line| line.split(',').nth(at).unwrap()).collect()
    }

    #[test]
    fn rows_refer_to_rows_that_exist_also_in_another_database() {
        let bank = databases(1);
        for (database, table, key, referred_database, referred_table) in [
            ("accounts_db", "accounts", "customer_id", "customer_db", "customers"),
            ("accounts_db", "accounts", "branch_code", "employees_db", "branches"),
            ("accounts_db", "customer_master", "customer_id", "customer_db", "customers"),
            ("accounts_db", "transactions", "account_id", "accounts_db", "accounts"),
            ("compliance_db", "alerts", "customer_id", "customer_db", "customers"),
            ("compliance_db", "kyc_checks", "customer_id", "customer_db", "customers"),
            ("customer_db", "complaints", "customer_id", "customer_db", "customers"),
            ("employees_db", "employees", "branch_code", "employees_db", "branches"),
            ("insurance_db", "claims", "policy_id", "insurance_db", "policies"),
            ("insurance_db", "policies", "customer_id", "customer_db", "customers"),
            ("loans_db", "loans", "branch_code", "employees_db", "branches"),
            ("loans_db", "loans", "customer_id", "customer_db", "customers"),
            ("loans_db", "repayments", "loan_id", "loans_db", "loans"),
        ] {
            let known: HashSet<_> = column(&bank, referred_database, referred_table, key).into_iter().collect();
            let missing: Vec<_> =
                column(&bank, database, table, key).into_iter().filter(|value| !known.contains(value)).collect();
            assert!(missing.is_empty(), "{database}.{table}.{key}: {missing:?}");
        }
    }

    #[test]
    fn every_row_has_all_its_columns_and_the_first_one_is_unique() {
        for database in databases(1) {
            for table in database.tables {
                let mut keys = HashSet::new();
                for line in table.csv.lines() {
                    assert_eq!(line.split(',').count(), table.columns.len(), "{}: {line}", table.name);
                    assert!(keys.insert(line.split(',').next()), "{}: {line}", table.name);
                }
                assert_eq!(keys.len(), table.rows);
                assert!(table.rows >= 100, "{} has {} rows", table.name, table.rows);
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_bank_each_time() {
        let csv = |seed| databases(seed).into_iter().flat_map(|d| d.tables).map(|t| t.csv).collect::<Vec<_>>();
        assert_eq!(csv(3), csv(3));
        assert_ne!(csv(3), csv(4));
    }
}
