//! compliance_db: who was checked, and what looked odd.

use chrono::TimeDelta;

use super::customers::Customer;
use super::{Database, day_since, day_within, moment, today};
use crate::demo::random::Random;
use crate::demo::table::{Maybe, Table};

pub(super) fn database(seed: u64, customers: &[Customer]) -> Database {
    Database {
        id: "compliance_db",
        name: "Compliance",
        description: "Checks of who customers are, and alerts on what they do",
        tables: vec![alerts(seed, customers), checks(seed, customers)],
    }
}

fn checks(seed: u64, customers: &[Customer]) -> Table {
    let mut random = Random::new(seed, "kyc_checks");
    let mut table = Table::new(
        "kyc_checks",
        "The last check of each customer",
        &[
            ("check_id", "bigint PRIMARY KEY"),
            ("customer_id", "bigint NOT NULL"),
            ("checked_on", "date NOT NULL"),
            ("document", "text NOT NULL"),
            ("result", "text NOT NULL"),
            ("politically_exposed", "boolean NOT NULL"),
        ],
    );
    for (id, customer) in (1_i64..).zip(customers) {
        let day = day_since(&mut random, customer.since);
        let document = random.weighted(&[("aadhaar", 61.0), ("pan", 26.0), ("passport", 8.0), ("voter_id", 5.0)]);
        let result = random.weighted(&[("expired", 4.0), ("passed", 93.0), ("pending", 3.0)]);
        table.row([&id, &customer.id, &day, &document, &result, &random.chance(0.004)]);
    }
    table
}

fn alerts(seed: u64, customers: &[Customer]) -> Table {
    let mut random = Random::new(seed, "alerts");
    let mut table = Table::new(
        "alerts",
        "What looked odd, and what came of it",
        &[
            ("alert_id", "bigint PRIMARY KEY"),
            ("customer_id", "bigint NOT NULL"),
            ("raised_at", "timestamptz NOT NULL"),
            ("rule", "text NOT NULL"),
            ("score", "double precision NOT NULL"),
            ("outcome", "text"),
        ],
    );
    for id in 1..=1_500 {
        let customer = random.pick(customers);
        let day = day_within(&mut random, 2);
        let rule = random.weighted(&[("cash", 28.0), ("dormant", 13.0), ("structuring", 21.0), ("velocity", 38.0)]);
        let score = (random.unit().powf(0.4) * 1e4).round() / 1e4;
        let is_settled = day < today() - TimeDelta::days(20);
        let outcome = random.weighted(&[("cleared", 86.0), ("reported", 14.0)]);
        let settled = Maybe(is_settled.then_some(outcome));
        table.row([&id, &customer.id, &moment(&mut random, day), &rule, &score, &settled]);
    }
    table
}
