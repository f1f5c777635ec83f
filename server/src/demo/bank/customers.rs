//! customer_db: who the customers are, what they were offered, and what they complained about.

use chrono::{NaiveDate, TimeDelta};

use super::{CUSTOMERS, Database, day_since, day_within, moment, today};
use crate::demo::india;
use crate::demo::random::Random;
use crate::demo::table::{Maybe, Money, Table};

/// What the other databases know of a customer.
#[derive(Debug)]
pub(super) struct Customer {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) gender: &'static str,
    pub(super) born: NaiveDate,
    pub(super) state: &'static india::State,
    pub(super) city: &'static str,
    pub(super) segment: &'static str,
    pub(super) since: NaiveDate,
}

impl Customer {
    /// How much richer than the median.
    pub(super) fn affluence(&self) -> f64 {
        match self.segment {
            "wealth" => 14.0,
            "affluent" => 4.0,
            _ => 1.0,
        }
    }
}

pub(super) fn customers(seed: u64) -> Vec<Customer> {
    let mut random = Random::new(seed, "customers");
    (1..=CUSTOMERS)
        .map(|id| {
            let gender = random.weighted(&[("F", 46.0), ("M", 54.0)]);
            let state = india::any_state(&mut random);
            let age = random.log_normal(37.0, 0.33).clamp(18.0, 92.0);
            Customer {
                id,
                name: india::full_name(&mut random, gender),
                gender,
                born: today() - TimeDelta::days((age * 365.25) as i64),
                state,
                city: india::any_city(&mut random, state),
                segment: random.weighted(&[("mass", 78.0), ("affluent", 18.0), ("wealth", 4.0)]),
                since: day_within(&mut random, 14),
            }
        })
        .collect()
}

pub(super) fn database(seed: u64, customers: &[Customer]) -> Database {
    Database {
        id: "customer_db",
        name: "Customers",
        description: "Who the bank's customers are, campaigns, and complaints",
        tables: vec![people(seed, customers), campaigns(seed), complaints(seed, customers)],
    }
}

fn people(seed: u64, customers: &[Customer]) -> Table {
    let mut random = Random::new(seed, "customers.contact");
    let mut table = Table::new(
        "customers",
        "One row for each customer",
        &[
            ("customer_id", "bigint PRIMARY KEY"),
            ("name", "text NOT NULL"),
            ("gender", "text NOT NULL"),
            ("date_of_birth", "date NOT NULL"),
            ("city", "text NOT NULL"),
            ("state", "text NOT NULL"),
            ("segment", "text NOT NULL"),
            ("phone", "text NOT NULL"),
            ("email", "text"),
            ("customer_since", "date NOT NULL"),
        ],
    );
    for customer in customers {
        let mailbox = format!("{}{}@example.in", customer.name.to_lowercase().replace(' ', "."), customer.id);
        let email = Maybe(random.chance(0.83).then_some(mailbox));
        table.row([
            &customer.id,
            &customer.name,
            &customer.gender,
            &customer.born,
            &customer.city,
            &customer.state.name,
            &customer.segment,
            &india::phone(&mut random),
            &email,
            &customer.since,
        ]);
    }
    table
}

fn campaigns(seed: u64) -> Table {
    const GOALS: &[&str] = &[
        "Car loan",
        "Credit card",
        "Festive savings",
        "Fixed deposit",
        "Gold loan",
        "Home loan",
        "Mutual fund",
        "UPI",
    ];
    let mut random = Random::new(seed, "campaigns");
    let mut table = Table::new(
        "campaigns",
        "Offers made to a segment through a channel",
        &[
            ("campaign_id", "bigint PRIMARY KEY"),
            ("name", "text NOT NULL"),
            ("channel", "text NOT NULL"),
            ("segment", "text NOT NULL"),
            ("starts_on", "date NOT NULL"),
            ("ends_on", "date NOT NULL"),
            ("budget", "numeric(14,2) NOT NULL"),
            ("responses", "integer NOT NULL"),
        ],
    );
    for id in 1..=160 {
        let starts = day_within(&mut random, 3);
        let ends = starts + TimeDelta::days(random.between(14, 75));
        let goal = random.pick(GOALS);
        let channel = random.weighted(&[("branch", 1.0), ("email", 3.0), ("sms", 4.0), ("app", 5.0), ("tv", 0.6)]);
        let segment = random.weighted(&[("mass", 5.0), ("affluent", 3.0), ("wealth", 1.0)]);
        let budget = random.cents(900_000.0, 0.9);
        let responses = random.log_normal(budget as f64 / 40_000.0, 0.5).round() as i64;
        let name = format!("{goal} {}", starts.format("%b %Y"));
        table.row([&id, &name, &channel, &segment, &starts, &ends, &Money(budget), &responses]);
    }
    table
}

fn complaints(seed: u64, customers: &[Customer]) -> Table {
    let mut random = Random::new(seed, "complaints");
    let mut table = Table::new(
        "complaints",
        "What customers complained about, and when it was settled",
        &[
            ("complaint_id", "bigint PRIMARY KEY"),
            ("customer_id", "bigint NOT NULL REFERENCES customers"),
            ("category", "text NOT NULL"),
            ("severity", "integer NOT NULL"),
            ("opened_at", "timestamptz NOT NULL"),
            ("resolved_at", "timestamptz"),
        ],
    );
    for id in 1..=4_200 {
        let customer = random.pick(customers);
        let day = day_since(&mut random, customer.since.max(today() - TimeDelta::days(730)));
        let category = random.weighted(&[
            ("atm", 14.0),
            ("card", 22.0),
            ("charges", 19.0),
            ("loan", 11.0),
            ("service", 16.0),
            ("upi", 30.0),
        ]);
        let severity = random.weighted(&[(1, 52.0), (2, 33.0), (3, 15.0)]);
        let settled = day + TimeDelta::days(1 + random.log_normal(3.0, 0.9) as i64);
        let resolved = Maybe((settled <= today()).then(|| moment(&mut random, settled)));
        table.row([&id, &customer.id, &category, &severity, &moment(&mut random, day), &resolved]);
    }
    table
}
