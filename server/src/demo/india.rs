//! Names of people and places, and how many live where: what makes demo data look like India.
//!
//! Shares are rounded from public statistics; they are plausible, not official.

use super::random::Random;

/// A state: its name, its zone, its share of the people in percent, and its cities, the largest first.
#[derive(Debug)]
pub(super) struct State {
    pub(super) name: &'static str,
    pub(super) zone: &'static str,
    pub(super) share: f64,
    pub(super) cities: &'static [&'static str],
}

const fn state(name: &'static str, zone: &'static str, share: f64, cities: &'static [&'static str]) -> State {
    State { name, zone, share, cities }
}

/// The states, sorted by name.
pub(super) const STATES: &[State] = &[
    state("Andhra Pradesh", "South", 4.1, &["Visakhapatnam", "Vijayawada", "Guntur", "Tirupati"]),
    state("Assam", "East", 2.6, &["Guwahati", "Dibrugarh", "Silchar"]),
    state("Bihar", "East", 9.0, &["Patna", "Gaya", "Muzaffarpur", "Bhagalpur"]),
    state("Chhattisgarh", "West", 2.2, &["Raipur", "Bhilai", "Bilaspur"]),
    state("Delhi", "North", 1.6, &["New Delhi", "Dwarka", "Rohini"]),
    state("Gujarat", "West", 5.1, &["Ahmedabad", "Surat", "Vadodara", "Rajkot"]),
    state("Haryana", "North", 2.2, &["Gurugram", "Faridabad", "Panipat"]),
    state("Jharkhand", "East", 2.8, &["Ranchi", "Jamshedpur", "Dhanbad"]),
    state("Karnataka", "South", 4.9, &["Bengaluru", "Mysuru", "Hubballi", "Mangaluru"]),
    state("Kerala", "South", 2.6, &["Kochi", "Thiruvananthapuram", "Kozhikode", "Thrissur"]),
    state("Madhya Pradesh", "West", 6.2, &["Indore", "Bhopal", "Jabalpur", "Gwalior"]),
    state("Maharashtra", "West", 9.1, &["Mumbai", "Pune", "Nagpur", "Nashik", "Aurangabad"]),
    state("Odisha", "East", 3.4, &["Bhubaneswar", "Cuttack", "Rourkela"]),
    state("Punjab", "North", 2.2, &["Ludhiana", "Amritsar", "Jalandhar"]),
    state("Rajasthan", "North", 5.8, &["Jaipur", "Jodhpur", "Kota", "Udaipur"]),
    state("Tamil Nadu", "South", 5.6, &["Chennai", "Coimbatore", "Madurai", "Salem", "Tiruchirappalli"]),
    state("Telangana", "South", 2.8, &["Hyderabad", "Warangal", "Nizamabad"]),
    state("Uttar Pradesh", "North", 16.8, &["Lucknow", "Kanpur", "Varanasi", "Agra", "Prayagraj"]),
    state("Uttarakhand", "North", 0.9, &["Dehradun", "Haridwar", "Haldwani"]),
    state("West Bengal", "East", 7.3, &["Kolkata", "Howrah", "Siliguri", "Durgapur"]),
];

const FIRST_NAMES_F: &[&str] = &[
    "Aarti", "Aditi", "Ananya", "Anjali", "Asha", "Bhavna", "Deepa", "Divya", "Fatima", "Gauri", "Harpreet", "Isha",
    "Jaya", "Kavita", "Kiran", "Lakshmi", "Lata", "Mary", "Meena", "Meera", "Nandini", "Neha", "Nisha", "Padma",
    "Pooja", "Preeti", "Priya", "Radha", "Rani", "Rekha", "Ritu", "Sakshi", "Sana", "Sangeeta", "Saroja", "Shalini",
    "Shreya", "Simran", "Sneha", "Sunita", "Swati", "Tanvi", "Usha", "Vandana", "Vidya", "Yasmin", "Zoya",
];

const FIRST_NAMES_M: &[&str] = &[
    "Aarav", "Abdul", "Aditya", "Ajay", "Amit", "Anil", "Arjun", "Arun", "Ashok", "Babu", "Chandan", "Deepak",
    "Dinesh", "Farhan", "Ganesh", "Gopal", "Gurpreet", "Harish", "Imran", "Jaspreet", "John", "Karthik", "Kunal",
    "Mahesh", "Manoj", "Mohan", "Mohammed", "Mukesh", "Naveen", "Nikhil", "Pradeep", "Prakash", "Rahul", "Raj",
    "Rajesh", "Rakesh", "Ramesh", "Ravi", "Rohit", "Sandeep", "Sanjay", "Santosh", "Suresh", "Thomas", "Varun",
    "Vijay", "Vikram", "Vinod", "Vivek",
];

#[rustfmt::skip]
const SURNAMES: &[(&str, f64)] = &[
    ("Agarwal", 2.0), ("Ahmed", 2.2), ("Bano", 0.8), ("Banerjee", 1.4), ("Bhat", 0.9), ("Bora", 0.5), ("Chatterjee", 1.2),
    ("Chauhan", 1.8), ("Das", 4.0), ("Desai", 1.1), ("Deshmukh", 1.0), ("Devi", 5.0), ("Ghosh", 1.8), ("Gill", 0.8),
    ("Gowda", 1.1), ("Gupta", 3.2), ("Hegde", 0.5), ("Iyer", 0.8), ("Jadhav", 1.4), ("Jain", 1.2), ("Joshi", 1.5),
    ("Kaur", 2.6), ("Khan", 4.6), ("Kulkarni", 1.0), ("Kumar", 8.0), ("Mahato", 0.9), ("Malik", 0.9), ("Mehta", 1.1),
    ("Menon", 0.6), ("Mishra", 2.4), ("Mohanty", 0.7), ("Mukherjee", 1.1), ("Naidu", 0.9), ("Nair", 1.3), ("Pandey", 2.1),
    ("Patel", 4.2), ("Patil", 2.6), ("Pawar", 1.2), ("Pillai", 0.9), ("Prasad", 2.3), ("Rao", 2.6), ("Rathore", 0.8),
    ("Reddy", 2.8), ("Roy", 1.9), ("Sahoo", 1.0), ("Saini", 0.9), ("Sharma", 5.2), ("Shah", 2.1), ("Shetty", 0.7),
    ("Singh", 9.0), ("Sinha", 1.4), ("Thakur", 1.2), ("Thomas", 0.8), ("Tiwari", 1.5), ("Varghese", 0.5), ("Verma", 2.3),
    ("Yadav", 4.0),
];

/// A full name for a person of `gender`, `F` or `M`.
pub(super) fn full_name(random: &mut Random, gender: &str) -> String {
    let first = random.pick(if gender == "F" { FIRST_NAMES_F } else { FIRST_NAMES_M });
    format!("{first} {}", random.weighted(SURNAMES))
}

/// A state, in proportion to its people.
pub(super) fn any_state(random: &mut Random) -> &'static State {
    random.weighted_by(STATES, |state| state.share)
}

/// A city of `state`; the first ones are larger.
pub(super) fn any_city(random: &mut Random, state: &State) -> &'static str {
    let skewed = random.unit() * random.unit();
    state.cities[(skewed * state.cities.len() as f64) as usize]
}

/// A mobile number.
pub(super) fn phone(random: &mut Random) -> String {
    format!("+91{}{:09}", random.between(6, 9), random.between(0, 999_999_999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_hold_nothing_twice() {
        assert!(STATES.is_sorted_by(|a, b| a.name < b.name));
        assert!(FIRST_NAMES_F.is_sorted_by(|a, b| a < b));
        assert!(SURNAMES.iter().all(|(name, share)| name.is_ascii() && *share > 0.0));
    }
}
