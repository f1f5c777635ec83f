//! Random numbers that are the same on every machine and in every release: xoshiro256++ seeded by SplitMix64.
//!
//! The `rand` crate promises no such thing for its own generators. This one is for demo data, never for secrets.

use std::f64::consts::TAU;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream called `name` under `seed`. Each table draws from its own, so that a new column in one changes no other.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mut seed = seed ^ hash(name);
        let mut split_mix = || {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self { state: [split_mix(), split_mix(), split_mix(), split_mix()] }
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `low..=high`.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = (high - low + 1).unsigned_abs();
        low + ((u128::from(self.next()) * u128::from(span)) >> 64) as i64
    }

    /// True once in `1 / probability` draws.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of `items`, each as likely as the others.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.between(0, items.len() as i64 - 1) as usize]
    }

    /// One of `items`, each as likely as the number next to it says.
    pub(super) fn weighted<T: Copy>(&mut self, items: &[(T, f64)]) -> T {
        self.weighted_by(items, |(_, share)| *share).0
    }

    /// One of `items`, each as likely as `share` says.
    pub(super) fn weighted_by<'a, T>(&mut self, items: &'a [T], share: impl Fn(&T) -> f64) -> &'a T {
        let mut at = self.unit() * items.iter().map(&share).sum::<f64>();
        let drawn = items.iter().find(|item| {
            at -= share(item);
            at < 0.0
        });
        drawn.unwrap_or(&items[items.len() - 1])
    }

    /// Normal with mean 0 and deviation 1, by Box and Muller.
    pub(super) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// Log-normal: half of the draws are above `median`; `sigma` is the deviation of the logarithm.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// An amount of money in hundredths: log-normal, at least 1.
    pub(super) fn cents(&mut self, median: f64, sigma: f64) -> i64 {
        ((self.log_normal(median, sigma) * 100.0).round() as i64).max(1)
    }
}

/// A number for a name, the same on every machine: FNV-1a.
pub(super) fn hash(name: &str) -> u64 {
    let offset = 0xcbf2_9ce4_8422_2325_u64;
    name.bytes().fold(offset, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Draws an index in proportion to given shares, in time that grows with the logarithm of their number.
#[derive(Debug)]
pub(super) struct Shares {
    cumulative: Vec<f64>,
}

impl Shares {
    pub(super) fn new(shares: impl IntoIterator<Item = f64>) -> Self {
        let cumulative = shares
            .into_iter()
            .scan(0.0, |sum, share| {
                *sum += share;
                Some(*sum)
            })
            .collect();
        Self { cumulative }
    }

    /// What popularity looks like: the item of rank n is drawn in proportion to 1 / n^`exponent`.
    pub(super) fn zipf(items: usize, exponent: f64) -> Self {
        Self::new((1..=items).map(|rank| (rank as f64).powf(-exponent)))
    }

    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let total = self.cumulative.last().copied().unwrap_or_default();
        let at = random.unit() * total;
        self.cumulative.partition_point(|sum| *sum <= at).min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_reference_implementation() {
        // xoshiro256++ by Blackman and Vigna, from the state 1, 2, 3, 4.
        let mut random = Random { state: [1, 2, 3, 4] };
        let drawn: Vec<u64> = (0..4).map(|_| random.next()).collect();
        assert_eq!(drawn, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn a_stream_repeats_and_another_name_is_another_stream() {
        let draw = |seed, name| {
            let mut random = Random::new(seed, name);
            (0..8).map(|_| random.between(0, 1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, "people"), draw(7, "people"));
        assert_ne!(draw(7, "people"), draw(7, "events"));
        assert_ne!(draw(7, "people"), draw(8, "people"));
    }

    #[test]
    fn draws_follow_their_distribution() {
        let mut random = Random::new(1, "moments");
        let normal: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let mean = normal.iter().sum::<f64>() / 1e5;
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");

        let shares = Shares::new([1.0, 0.0, 3.0]);
        let mut counts = [0; 3];
        (0..40_000).for_each(|_| counts[shares.draw(&mut random)] += 1);
        assert_eq!(counts[1], 0);
        assert!((counts[2] as f64 / f64::from(counts[0]) - 3.0).abs() < 0.2, "{counts:?}");

        let ends = (0..1_000).map(|_| random.between(3, 5)).fold((9, 0), |(low, high), x| (low.min(x), high.max(x)));
        assert_eq!(ends, (3, 5));
    }
}
