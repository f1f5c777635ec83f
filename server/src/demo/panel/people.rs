//! Who is in the panel, and how many people each of them stands for.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::error::ArrowError;

use crate::demo::bank::{self, Linkable};
use crate::demo::india;
use crate::demo::random::Random;

/// How many people are in the panel.
const PEOPLE: usize = 12_000;
/// How many people the panel stands for: everyone in the country who is online and 15 or older.
const POPULATION: f64 = 582_000_000.0;

/// A person of the panel.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) id: i64,
    household: i64,
    pub(super) age: i32,
    gender: &'static str,
    pub(super) nccs: &'static str,
    pub(super) town: &'static str,
    state: &'static india::State,
    /// The id of the same person at the bank, where they agreed to be linked.
    customer: Option<i64>,
    weight: f64,
}

/// A class of people: its name, its percentage of the population, its percentage of the panel.
type Class = (&'static str, f64, f64);

const TOWNS: &[Class] = &[
    ("Metro", 9.0, 24.0),
    ("10 Lakh+", 12.0, 22.0),
    ("1-10 Lakh", 14.0, 20.0),
    ("Below 1 Lakh", 12.0, 12.0),
    ("Rural", 53.0, 22.0),
];
const NCCS_URBAN: &[Class] =
    &[("A1", 9.0, 18.0), ("A", 16.0, 24.0), ("B", 27.0, 26.0), ("C", 28.0, 19.0), ("D", 13.0, 9.0), ("E", 7.0, 4.0)];
const NCCS_RURAL: &[Class] =
    &[("A1", 2.0, 6.0), ("A", 6.0, 13.0), ("B", 15.0, 24.0), ("C", 28.0, 28.0), ("D", 28.0, 19.0), ("E", 21.0, 10.0)];
const GENDERS: &[Class] = &[("F", 47.0, 42.0), ("M", 53.0, 58.0)];
const AGES: &[Class] =
    &[("15-21", 20.0, 24.0), ("22-30", 24.0, 31.0), ("31-40", 23.0, 24.0), ("41-50", 16.0, 13.0), ("51+", 17.0, 8.0)];

/// The panel, sorted by id.
pub(super) fn people(seed: u64) -> Vec<Person> {
    let mut random = Random::new(seed, "people");
    let mut links = Links::new(seed);
    let mut people = Vec::with_capacity(PEOPLE);
    let mut household = 0;
    while people.len() < PEOPLE {
        household += 1;
        let state = india::any_state(&mut random);
        let town = draw(&mut random, TOWNS);
        let nccs = draw(&mut random, nccs_of(town));
        for _ in 0..random.weighted(&[(1, 58.0), (2, 31.0), (3, 11.0)]).min(PEOPLE - people.len()) {
            let gender = draw(&mut random, GENDERS);
            let group = draw(&mut random, AGES);
            let mut age = age_in(&mut random, group);
            let mut customer = None;
            if random.chance(link_rate(nccs))
                && let Some(linkable) = links.take(state, gender)
            {
                customer = Some(linkable.customer);
                age = linkable.age;
            }
            people.push(Person {
                id: 1_000_001 + people.len() as i64,
                household,
                age,
                gender,
                nccs,
                town,
                state,
                customer,
                weight: random.log_normal(1.0, 0.12),
            });
        }
    }
    weigh(&mut people);
    people
}

/// The panel as a table.
pub(super) fn batch(people: &[Person]) -> Result<RecordBatch, ArrowError> {
    let text = |value: &dyn Fn(&Person) -> String| Arc::new(StringArray::from_iter_values(people.iter().map(value)));
    let long = |value: fn(&Person) -> i64| Arc::new(Int64Array::from_iter_values(people.iter().map(value)));
    RecordBatch::try_from_iter_with_nullable([
        ("person_id", long(|person| person.id) as ArrayRef, false),
        ("household_id", long(|person| person.household), false),
        ("age", Arc::new(Int32Array::from_iter_values(people.iter().map(|person| person.age))), false),
        ("age_group", text(&|person| age_group(person.age).to_owned()), false),
        ("gender", text(&|person| person.gender.to_owned()), false),
        ("nccs", text(&|person| person.nccs.to_owned()), false),
        ("town_class", text(&|person| person.town.to_owned()), false),
        ("state", text(&|person| person.state.name.to_owned()), false),
        ("zone", text(&|person| person.state.zone.to_owned()), false),
        ("stratum", text(&|person| format!("{} {}", person.state.zone, area(person.town))), false),
        ("customer_id", Arc::new(people.iter().map(|person| person.customer).collect::<Int64Array>()), true),
        ("weight", Arc::new(Float64Array::from_iter_values(people.iter().map(|person| person.weight))), false),
    ])
}

/// A class, in proportion to the panel.
fn draw(random: &mut Random, classes: &'static [Class]) -> &'static str {
    random.weighted_by(classes, |(_, _, sampled)| *sampled).0
}

/// Multiplies each weight by population over panel in each class, and scales them to the population.
fn weigh(people: &mut [Person]) {
    let ratio = |classes: &[Class], name: &str| {
        classes.iter().find(|(class, ..)| *class == name).map_or(1.0, |(_, population, sampled)| population / sampled)
    };
    for person in people.iter_mut() {
        person.weight *= ratio(TOWNS, person.town)
            * ratio(nccs_of(person.town), person.nccs)
            * ratio(GENDERS, person.gender)
            * ratio(AGES, age_group(person.age));
    }
    let scale = POPULATION / people.iter().map(|person| person.weight).sum::<f64>();
    for person in people {
        person.weight = (person.weight * scale * 1000.0).round() / 1000.0;
    }
}

fn nccs_of(town: &str) -> &'static [Class] {
    if town == "Rural" { NCCS_RURAL } else { NCCS_URBAN }
}

fn area(town: &str) -> &'static str {
    if town == "Rural" { "rural" } else { "urban" }
}

fn age_group(age: i32) -> &'static str {
    match age {
        ..=21 => "15-21",
        22..=30 => "22-30",
        31..=40 => "31-40",
        41..=50 => "41-50",
        _ => "51+",
    }
}

fn age_in(random: &mut Random, group: &str) -> i32 {
    let (low, high) = match group {
        "15-21" => (15, 21),
        "22-30" => (22, 30),
        "31-40" => (31, 40),
        "41-50" => (41, 50),
        _ => return 51 + random.log_normal(6.0, 0.7).min(35.0) as i32,
    };
    random.between(low, high) as i32
}

/// How many of a class bank here and agreed to be linked.
fn link_rate(nccs: &str) -> f64 {
    match nccs {
        "A1" => 0.22,
        "A" => 0.16,
        "B" => 0.09,
        "C" => 0.04,
        _ => 0.015,
    }
}

/// Customers who can still be linked, by state and gender, so that the two records of a person agree.
#[derive(Debug)]
struct Links(HashMap<(&'static str, &'static str), VecDeque<Linkable>>);

impl Links {
    fn new(seed: u64) -> Self {
        let mut links: HashMap<_, VecDeque<_>> = HashMap::new();
        for linkable in bank::linkable(seed) {
            links.entry((linkable.state, linkable.gender)).or_default().push_back(linkable);
        }
        Self(links)
    }

    fn take(&mut self, state: &india::State, gender: &'static str) -> Option<Linkable> {
        self.0.get_mut(&(state.name, gender))?.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn weights_make_the_panel_the_population() {
        let people = people(1);
        let total: f64 = people.iter().map(|person| person.weight).sum();
        assert!((total / POPULATION - 1.0).abs() < 1e-6, "{total}");

        let share = |test: &dyn Fn(&Person) -> bool| {
            people.iter().filter(|person| test(person)).map(|person| person.weight).sum::<f64>() / total * 100.0
        };
        for (name, population, _) in TOWNS {
            assert!((share(&|person| person.town == *name) - population).abs() < 2.0, "{name}");
        }
        for (name, population, _) in GENDERS {
            assert!((share(&|person| person.gender == *name) - population).abs() < 2.0, "{name}");
        }
    }

    #[test]
    fn a_customer_is_linked_to_one_person_at_most_and_the_records_agree() {
        let customers: HashMap<i64, Linkable> =
            bank::linkable(1).into_iter().map(|link| (link.customer, link)).collect();
        let people = people(1);
        let linked: Vec<&Person> = people.iter().filter(|person| person.customer.is_some()).collect();
        assert!(linked.len() > 500, "{}", linked.len());
        let mut seen = HashSet::new();
        for person in linked {
            let link = &customers[&person.customer.unwrap()];
            assert!(seen.insert(link.customer));
            assert_eq!((link.gender, link.state, link.age), (person.gender, person.state.name, person.age));
        }
    }
}
