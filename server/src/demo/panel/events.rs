//! What the panel did in three months, on four media: about a million events over hive-partitioned Parquet.
//!
//! Each partition draws from its own stream of random numbers, so that they are made side by side and come out the same.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use arrow::array::{
    ArrayRef, Decimal128Builder, Int32Builder, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;

use super::people::Person;
use super::write_parquet;
use crate::demo::DemoError;
use crate::demo::random::{Random, Shares};

/// A medium: how much there is of it, and how it is used.
#[derive(Debug)]
struct Medium {
    name: &'static str,
    events_per_month: usize,
    services: &'static [(&'static str, f64)],
    actions: &'static [(&'static str, f64)],
    /// What the event is about: a title, an app's section, a product group, a brand. The first ones are more popular.
    items: &'static [&'static str],
    /// How long an event lasts at the median, in seconds, where that has a meaning.
    seconds: Option<f64>,
    /// What an order comes to at the median, in rupees, where things are sold.
    rupees: Option<f64>,
    /// How much of it falls into each hour of the day.
    hours: [f64; 24],
}

const EVENING: [f64; 24] = [
    2.0, 1.0, 0.5, 0.3, 0.3, 0.5, 1.0, 2.0, 2.5, 2.5, 2.5, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0, 5.0, 7.0, 9.0, 12.0, 13.0,
    10.0, 5.0,
];
const ALL_DAY: [f64; 24] = [
    2.0, 1.0, 0.6, 0.5, 0.6, 1.5, 3.0, 5.0, 6.0, 5.5, 5.0, 5.0, 5.5, 5.5, 5.0, 4.5, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 6.0,
    4.0,
];

/// The media, sorted by name.
const MEDIA: &[Medium] = &[
    Medium {
        name: "ads",
        events_per_month: 72_000,
        services: &[("BharatPlay", 3.0), ("ReelBaaz", 5.0), ("SamacharWeb", 2.0), ("VideoAdda", 6.0)],
        actions: &[("click", 2.6), ("complete", 41.0), ("impression", 56.4)],
        items: &[
            "Mobile phones",
            "Fantasy sports",
            "E-commerce sale",
            "Detergent",
            "Two wheelers",
            "Cars",
            "Tea",
            "Insurance",
            "Biscuits",
            "Edtech",
            "Paints",
            "Hair oil",
            "Soft drinks",
            "Jewelry",
            "Cement",
        ],
        seconds: None,
        rupees: None,
        hours: ALL_DAY,
    },
    Medium {
        name: "ctv",
        events_per_month: 86_000,
        services: &[("BharatPlay", 5.0), ("CineHaat", 3.0), ("KhelLive", 4.0), ("MeraShow", 2.0), ("RangStream", 1.5)],
        actions: &[("pause", 14.0), ("play", 86.0)],
        items: &[
            "Cricket League",
            "Saas Ki Kahani",
            "Crime Patrol Diaries",
            "Mahabharat Retold",
            "Comedy Adda",
            "Dance Plus Stars",
            "Evening News",
            "Kabaddi Night",
            "Chef of India",
            "Blockbuster Cinema",
            "Hostel Days",
            "Silk Route",
            "Kids Toon Time",
            "Devotional Morning",
            "Startup Story",
            "Wild Ghats",
        ],
        seconds: Some(1_260.0),
        rupees: None,
        hours: EVENING,
    },
    Medium {
        name: "ecommerce",
        events_per_month: 41_000,
        services: &[("ApnaMart", 4.0), ("BigDukaan", 6.0), ("FashionGali", 2.5), ("QuickTokri", 3.5)],
        actions: &[("cart", 13.0), ("order", 8.5), ("view", 78.5)],
        items: &[
            "Grocery",
            "Mobile phones",
            "Women's clothing",
            "Men's clothing",
            "Footwear",
            "Beauty",
            "Kitchen",
            "Electronics",
            "Toys",
            "Books",
            "Furniture",
            "Large appliances",
        ],
        seconds: None,
        rupees: Some(640.0),
        hours: ALL_DAY,
    },
    Medium {
        name: "mobile",
        events_per_month: 139_000,
        services: &[("ChatBox", 9.0), ("GaanaBox", 3.0), ("KhabarNow", 2.0), ("ReelBaaz", 8.0), ("VideoAdda", 7.0)],
        actions: &[("background", 9.0), ("open", 91.0)],
        items: &["Feed", "Messages", "Short video", "Music", "Search", "News", "Profile", "Live", "Settings"],
        seconds: Some(170.0),
        rupees: None,
        hours: ALL_DAY,
    },
];

/// The months: name, first day in days since 1970, number of days, growth.
const MONTHS: &[(&str, i64, usize, f64)] =
    &[("2026-01", 20_454, 31, 0.96), ("2026-02", 20_485, 28, 0.97), ("2026-03", 20_513, 31, 1.07)];

/// Writes every partition and says how many events there are.
pub(super) fn write(folder: &Path, seed: u64, scale: f64, people: &[Person]) -> Result<usize, DemoError> {
    let partitions: Vec<Partition> = partitions(scale);
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), DemoError> {
        while let Some(partition) = partitions.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = folder
                .join(format!("medium={}", partition.medium.name))
                .join(format!("month={}", partition.month))
                .join("part-0.parquet");
            let batch = partition
                .batch(seed, people)
                .map_err(|error| DemoError::new("The events cannot be made.").because(error))?;
            write_parquet(&path, &batch)?;
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(partitions.len());
    thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        handles.into_iter().try_for_each(|handle| {
            handle.join().unwrap_or_else(|_| Err(DemoError::new("A thread that makes events has panicked.")))
        })
    })?;
    Ok(partitions.iter().map(|partition| partition.events).sum())
}

/// One medium in one month: one file.
#[derive(Debug)]
struct Partition {
    medium: &'static Medium,
    month: &'static str,
    first_day: i64,
    days: usize,
    first_event: i64,
    events: usize,
}

fn partitions(scale: f64) -> Vec<Partition> {
    let mut first_event = 1;
    let mut partitions = Vec::new();
    for medium in MEDIA {
        for (month, first_day, days, growth) in MONTHS {
            let events = (medium.events_per_month as f64 * growth * scale) as usize;
            partitions.push(Partition { medium, month, first_day: *first_day, days: *days, first_event, events });
            first_event += events as i64;
        }
    }
    partitions
}

impl Partition {
    fn batch(&self, seed: u64, people: &[Person]) -> Result<RecordBatch, ArrowError> {
        let medium = self.medium;
        let mut random = Random::new(seed, &format!("events/{}/{}", medium.name, self.month));
        let users = Shares::new(people.iter().map(|person| medium.use_by(seed, person)));
        let items = Shares::zipf(medium.items.len(), 0.9);
        let moments = self.moments(&mut random);

        let mut persons = Vec::with_capacity(self.events);
        let mut services = StringBuilder::new();
        let mut about = StringBuilder::new();
        let mut actions = StringBuilder::new();
        let mut seconds = Int32Builder::new();
        let mut amounts = Decimal128Builder::new().with_data_type(DataType::Decimal128(10, 2));
        for _ in 0..self.events {
            persons.push(people[users.draw(&mut random)].id);
            services.append_value(random.weighted(medium.services));
            about.append_value(medium.items[items.draw(&mut random)]);
            let action = random.weighted(medium.actions);
            actions.append_value(action);
            seconds.append_option(medium.seconds.map(|median| random.log_normal(median, 0.9).min(28_800.0) as i32));
            let rupees = medium.rupees.filter(|_| action == "order");
            amounts.append_option(rupees.map(|median| i128::from(random.cents(median, 0.95))));
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values((self.first_event..).take(self.events))),
            Arc::new(Int64Array::from(persons)),
            Arc::new(TimestampMicrosecondArray::from(moments).with_timezone("UTC")),
            Arc::new(services.finish()),
            Arc::new(about.finish()),
            Arc::new(actions.finish()),
            Arc::new(seconds.finish()),
            Arc::new(amounts.finish()),
        ];
        RecordBatch::try_new(schema(), columns)
    }

    /// When the events happened, in order, in microseconds since 1970. Weekends have more.
    fn moments(&self, random: &mut Random) -> Vec<i64> {
        // The first of January 1970 was a Thursday.
        let is_weekend = |day: usize| matches!((self.first_day + day as i64 + 4) % 7, 0 | 6);
        let days = Shares::new((0..self.days).map(|day| if is_weekend(day) { 1.35 } else { 1.0 }));
        let hours = Shares::new(self.medium.hours);
        let mut moments: Vec<i64> = (0..self.events)
            .map(|_| {
                let day = self.first_day + days.draw(random) as i64;
                let second = hours.draw(random) as i64 * 3600 + random.between(0, 3599);
                (day * 86_400 + second) * 1_000_000 + random.between(0, 999) * 1_000
            })
            .collect();
        moments.sort_unstable();
        moments
    }
}

impl Medium {
    /// How much a person uses the medium: many do not at all, and some do for ten. The same in every month.
    fn use_by(&self, seed: u64, person: &Person) -> f64 {
        let mut random = Random::new(seed, &format!("{}/{}", self.name, person.id));
        let rank = match person.nccs {
            "A1" => 5.0,
            "A" => 4.0,
            "B" => 3.0,
            "C" => 2.0,
            "D" => 1.0,
            _ => 0.0,
        };
        let is_rural = person.town == "Rural";
        let age = f64::from(person.age);
        let (has, how_much) = match self.name {
            "ctv" => (0.06 + 0.13 * rank - if is_rural { 0.05 } else { 0.0 }, 0.6 + age / 80.0),
            "ecommerce" => (0.12 + 0.11 * rank - if is_rural { 0.08 } else { 0.0 }, (1.6 - age / 60.0).max(0.25)),
            "mobile" => (0.985, (2.0 - age / 45.0).max(0.3)),
            _ => (0.9, (1.7 - age / 55.0).max(0.3)),
        };
        if random.chance(has) { random.log_normal(how_much, 0.85) } else { 0.0 }
    }
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("event_id", DataType::Int64, false),
        Field::new("person_id", DataType::Int64, false),
        Field::new("occurred_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("service", DataType::Utf8, false),
        Field::new("item", DataType::Utf8, false),
        Field::new("action", DataType::Utf8, false),
        Field::new("seconds", DataType::Int32, true),
        Field::new("amount", DataType::Decimal128(10, 2), true),
    ]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

    use super::*;
    use crate::demo::panel::people::people;

    #[test]
    fn months_follow_each_other_and_there_are_about_a_million_events() {
        assert!(MONTHS.windows(2).all(|pair| pair[0].1 + pair[0].2 as i64 == pair[1].1));
        let events: usize = partitions(1.0).iter().map(|partition| partition.events).sum();
        assert!((950_000..1_050_000).contains(&events), "{events}");
    }

    #[test]
    fn a_partition_repeats_refers_to_the_panel_and_stays_in_its_month() {
        let people = people(1);
        let known: HashSet<i64> = people.iter().map(|person| person.id).collect();
        let partition = &partitions(0.1)[7];
        let batch = partition.batch(1, &people).unwrap();
        assert_eq!(batch, partition.batch(1, &people).unwrap());
        assert_eq!((partition.medium.name, partition.month), ("ecommerce", "2026-02"));
        assert!(batch.column(1).as_primitive::<Int64Type>().values().iter().all(|id| known.contains(id)));
        let moments = batch.column(2).as_primitive::<TimestampMicrosecondType>().values();
        let day = 86_400_000_000;
        assert!(moments.is_sorted() && moments[0] >= 20_485 * day && moments[moments.len() - 1] < 20_513 * day);
        assert!(batch.column(7).null_count() > 0 && batch.column(6).null_count() == batch.num_rows());
    }
}
