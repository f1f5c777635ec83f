//! What a retailer sold: one CSV file, as somebody would export it from a spreadsheet.

use std::path::Path;

use chrono::{NaiveDate, TimeDelta};

use super::DemoError;
use super::india;
use super::random::{Random, Shares};
use super::table::{Money, Table};

/// A category: its name, its products, its median price in rupees, its share of the orders.
type Category = (&'static str, &'static [&'static str], f64, f64);

const CATEGORIES: &[Category] = &[
    ("Apparel", &["Cotton kurta", "Denim jeans", "Raincoat", "Silk saree", "T-shirt"], 900.0, 24.0),
    ("Electronics", &["Bluetooth speaker", "Headphones", "LED bulb", "Power bank", "Smart watch"], 1_900.0, 17.0),
    (
        "Grocery",
        &["Basmati rice 5 kg", "Mustard oil 1 l", "Tea 500 g", "Toor dal 1 kg", "Wheat flour 10 kg"],
        260.0,
        41.0,
    ),
    ("Home", &["Bedsheet", "Ceiling fan", "Pressure cooker", "Steel bottle", "Wall clock"], 1_200.0, 18.0),
];

/// Writes `orders.csv` into `folder` and says how many orders there are.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write(folder: &Path, seed: u64) -> Result<usize, DemoError> {
    let orders = orders(seed);
    let path = folder.join("orders.csv");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, format!("{}\n{}", orders.header(), orders.csv)))
        .map_err(|error| DemoError::new(format!("{} cannot be written.", path.display())).because(error))?;
    Ok(orders.rows)
}

fn orders(seed: u64) -> Table {
    let mut random = Random::new(seed, "sales");
    let mut table = Table::new(
        "orders",
        "One row for each order line",
        &[
            ("order_id", "bigint PRIMARY KEY"),
            ("ordered_on", "date NOT NULL"),
            ("state", "text NOT NULL"),
            ("city", "text NOT NULL"),
            ("channel", "text NOT NULL"),
            ("category", "text NOT NULL"),
            ("product", "text NOT NULL"),
            ("units", "integer NOT NULL"),
            ("unit_price", "numeric(10,2) NOT NULL"),
            ("discount_percent", "integer NOT NULL"),
            ("net_amount", "numeric(12,2) NOT NULL"),
        ],
    );
    let shares = Shares::new(CATEGORIES.iter().map(|(.., share)| *share));
    let first = NaiveDate::from_ymd_opt(2025, 4, 1).unwrap_or_default();
    for id in 1..=36_000_i64 {
        // A year's orders in the order of their days.
        let day = first + TimeDelta::days((id - 1) * 365 / 36_000);
        let state = india::any_state(&mut random);
        let city = india::any_city(&mut random, state);
        let channel = random.weighted(&[("marketplace", 31.0), ("online", 27.0), ("store", 42.0)]);
        let (category, products, median, _) = CATEGORIES[shares.draw(&mut random)];
        let product = random.pick(products);
        let units = random.weighted(&[(1_i64, 62.0), (2, 22.0), (3, 9.0), (4, 4.0), (6, 3.0)]);
        let price = random.cents(median, 0.45);
        let discount = random.weighted(&[(0_i64, 48.0), (5, 17.0), (10, 20.0), (20, 11.0), (40, 4.0)]);
        let net = Money(price * units * (100 - discount) / 100);
        let price = Money(price);
        table.row([&id, &day, &state.name, &city, &channel, &category, product, &units, &price, &discount, &net]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_one_per_line_and_of_their_declared_types() {
        let orders = orders(1);
        assert_eq!(orders.csv.lines().count(), orders.rows);
        assert_eq!(orders.batch().unwrap().num_rows(), 36_000);
    }
}
