//! accounts_db: accounts with their balances, what moved, and the bank's own record of each customer.

use chrono::{NaiveDate, TimeDelta};

use super::customers::Customer;
use super::employees::{Branch, nearest};
use super::{Database, day_since, moment, today};
use crate::demo::random::Random;
use crate::demo::table::{Maybe, Moment, Money, Table};

/// What a transaction needs to know of its account.
#[derive(Debug)]
pub(super) struct Account {
    id: i64,
    customer: i64,
    branch: String,
    kind: &'static str,
    status: &'static str,
    opened: NaiveDate,
    balance: i64,
}

pub(super) fn accounts(seed: u64, customers: &[Customer], branches: &[Branch]) -> Vec<Account> {
    let mut random = Random::new(seed, "accounts");
    let mut accounts = Vec::with_capacity(customers.len() * 3 / 2);
    for customer in customers {
        let branch = nearest(&mut random, branches, customer.state);
        for _ in 0..random.weighted(&[(1, 62.0), (2, 29.0), (3, 9.0)]) {
            let (kind, median) = random.weighted(&[
                (("current", 64_000.0), 14.0),
                (("fixed_deposit", 150_000.0), 19.0),
                (("savings", 21_000.0), 67.0),
            ]);
            accounts.push(Account {
                id: 5_000_000_001 + accounts.len() as i64,
                customer: customer.id,
                branch: branch.code.clone(),
                kind,
                status: random.weighted(&[("active", 91.0), ("closed", 3.0), ("dormant", 6.0)]),
                opened: day_since(&mut random, customer.since),
                balance: random.cents(median * customer.affluence(), 1.3),
            });
        }
    }
    accounts
}

pub(super) fn database(seed: u64, customers: &[Customer], accounts: &[Account]) -> Database {
    Database {
        id: "accounts_db",
        name: "Accounts",
        description: "Accounts with their balances, and what moved on them",
        tables: vec![account_table(accounts), master(seed, customers), transactions(seed, accounts)],
    }
}

fn account_table(accounts: &[Account]) -> Table {
    let mut table = Table::new(
        "accounts",
        "One row for each account",
        &[
            ("account_id", "bigint PRIMARY KEY"),
            ("customer_id", "bigint NOT NULL"),
            ("branch_code", "text NOT NULL"),
            ("account_type", "text NOT NULL"),
            ("status", "text NOT NULL"),
            ("opened_on", "date NOT NULL"),
            ("balance", "numeric(18,2) NOT NULL"),
            ("currency", "text NOT NULL"),
        ],
    );
    for account in accounts {
        let balance = Money(if account.status == "closed" { 0 } else { account.balance });
        table.row([
            &account.id,
            &account.customer,
            &account.branch,
            &account.kind,
            &account.status,
            &account.opened,
            &balance,
            &"INR",
        ]);
    }
    table
}

fn master(seed: u64, customers: &[Customer]) -> Table {
    let mut random = Random::new(seed, "customer_master");
    let mut table = Table::new(
        "customer_master",
        "What the bank's core system knows of each customer",
        &[
            ("customer_id", "bigint PRIMARY KEY"),
            ("risk_grade", "text NOT NULL"),
            ("credit_score", "integer"),
            ("relationship_since", "date NOT NULL"),
            ("opted_in", "boolean NOT NULL"),
        ],
    );
    for customer in customers {
        let score = (720.0 + 18.0 * customer.affluence().ln() + 65.0 * random.normal()).clamp(300.0, 900.0) as i64;
        let grade = match score {
            ..620 => "high",
            620..720 => "medium",
            _ => "low",
        };
        let known = Maybe(random.chance(0.94).then_some(score));
        table.row([&customer.id, &grade, &known, &customer.since, &random.chance(0.71)]);
    }
    table
}

fn transactions(seed: u64, accounts: &[Account]) -> Table {
    let mut random = Random::new(seed, "transactions");
    let mut table = Table::new(
        "transactions",
        "What moved on accounts in the last ninety days",
        &[
            ("transaction_id", "bigint PRIMARY KEY"),
            ("account_id", "bigint NOT NULL REFERENCES accounts"),
            ("booked_at", "timestamptz NOT NULL"),
            ("direction", "text NOT NULL"),
            ("channel", "text NOT NULL"),
            ("amount", "numeric(14,2) NOT NULL"),
            ("merchant", "text"),
        ],
    );
    const MERCHANTS: &[&str] =
        &["electricity", "fuel", "grocery", "pharmacy", "rail", "restaurant", "school", "telecom"];
    let live: Vec<&Account> = accounts.iter().filter(|account| account.status == "active").collect();
    let mut booked: Vec<(Moment, &Account)> = (0..60_000)
        .map(|_| {
            let account = *random.pick(&live);
            let first = account.opened.max(today() - TimeDelta::days(89));
            let day = day_since(&mut random, first);
            (moment(&mut random, day), account)
        })
        .collect();
    booked.sort_by_key(|(at, account)| (at.0, account.id));
    for (id, (at, account)) in (1_i64..).zip(booked) {
        let channel =
            random.weighted(&[("atm", 9.0), ("branch", 4.0), ("card", 17.0), ("netbanking", 12.0), ("upi", 58.0)]);
        let is_credit = random.chance(0.34);
        let amount = Money(random.cents(if channel == "upi" { 420.0 } else { 2_600.0 }, 1.1));
        let is_purchase = !is_credit && matches!(channel, "card" | "upi");
        let merchant = Maybe(is_purchase.then(|| *random.pick(MERCHANTS)));
        table.row([&id, &account.id, &at, &if is_credit { "credit" } else { "debit" }, &channel, &amount, &merchant]);
    }
    table
}
