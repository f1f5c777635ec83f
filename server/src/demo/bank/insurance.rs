//! insurance_db: policies that the bank sold, and claims on them.

use chrono::{Months, NaiveDate};

use super::customers::Customer;
use super::{Database, day_since, today};
use crate::demo::random::Random;
use crate::demo::table::{Maybe, Money, Table};

#[derive(Debug)]
struct Policy {
    id: i64,
    customer: i64,
    kind: &'static str,
    cover: i64,
    premium: i64,
    starts: NaiveDate,
    ends: NaiveDate,
}

pub(super) fn database(seed: u64, customers: &[Customer]) -> Database {
    let policies = policies(seed, customers);
    Database {
        id: "insurance_db",
        name: "Insurance",
        description: "Insurance policies that the bank sold, and claims on them",
        tables: vec![policy_table(&policies), claims(seed, &policies)],
    }
}

fn policies(seed: u64, customers: &[Customer]) -> Vec<Policy> {
    let mut random = Random::new(seed, "policies");
    (1..=7_500)
        .map(|at| {
            let customer = random.pick(customers);
            let (kind, cover, rate, years) = random.weighted(&[
                (("crop", 60_000.0, 0.024, 1), 9.0),
                (("health", 500_000.0, 0.031, 1), 38.0),
                (("life", 1_500_000.0, 0.0062, 20), 31.0),
                (("motor", 350_000.0, 0.027, 1), 22.0),
            ]);
            let cover = random.cents(cover * customer.affluence().sqrt(), 0.5);
            let starts = day_since(&mut random, customer.since);
            Policy {
                id: 300_000 + at,
                customer: customer.id,
                kind,
                cover,
                premium: (cover as f64 * rate * random.log_normal(1.0, 0.2)).round() as i64,
                starts,
                ends: starts + Months::new(12 * years),
            }
        })
        .collect()
}

fn policy_table(policies: &[Policy]) -> Table {
    let mut table = Table::new(
        "policies",
        "One row for each policy",
        &[
            ("policy_id", "bigint PRIMARY KEY"),
            ("customer_id", "bigint NOT NULL"),
            ("policy_type", "text NOT NULL"),
            ("sum_insured", "numeric(16,2) NOT NULL"),
            ("annual_premium", "numeric(14,2) NOT NULL"),
            ("starts_on", "date NOT NULL"),
            ("ends_on", "date NOT NULL"),
            ("in_force", "boolean NOT NULL"),
        ],
    );
    for policy in policies {
        table.row([
            &policy.id,
            &policy.customer,
            &policy.kind,
            &Money(policy.cover),
            &Money(policy.premium),
            &policy.starts,
            &policy.ends,
            &(policy.ends > today()),
        ]);
    }
    table
}

fn claims(seed: u64, policies: &[Policy]) -> Table {
    let mut random = Random::new(seed, "claims");
    let mut table = Table::new(
        "claims",
        "One row for each claim",
        &[
            ("claim_id", "bigint PRIMARY KEY"),
            ("policy_id", "bigint NOT NULL REFERENCES policies"),
            ("claimed_on", "date NOT NULL"),
            ("claimed", "numeric(14,2) NOT NULL"),
            ("paid", "numeric(14,2)"),
            ("status", "text NOT NULL"),
        ],
    );
    let claimable: Vec<&Policy> = policies.iter().filter(|policy| policy.kind != "life").collect();
    for id in 1..=1_800 {
        let policy = *random.pick(&claimable);
        let last = policy.ends.min(today());
        let day = policy.starts + chrono::TimeDelta::days(random.between(0, (last - policy.starts).num_days().max(0)));
        let claimed = ((policy.cover as f64 * 0.09 * random.log_normal(1.0, 0.8)) as i64).clamp(1, policy.cover);
        let status = random.weighted(&[("open", 12.0), ("paid", 74.0), ("rejected", 14.0)]);
        let paid = match status {
            "open" => None,
            "paid" => Some(Money(claimed * random.between(60, 100) / 100)),
            _ => Some(Money(0)),
        };
        table.row([&id, &policy.id, &day, &Money(claimed), &Maybe(paid), &status]);
    }
    table
}
