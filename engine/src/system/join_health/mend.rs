//! The condition under which keys match that do not match as they stand.

use datafusion::common::utils::quote_identifier;

use super::figures::Figures;
use super::pairs::{Comparison, Pair};

/// The SQL of a join's condition, of the left table as `a` and the right one as `b`. None where it would win no key.
pub(super) fn mend(pair: &Pair, figures: &Figures) -> Option<String> {
    let left = format!("a.{}", quote_identifier(&pair.left_column.name));
    let right = format!("b.{}", quote_identifier(&pair.right_column.name));
    let won = |keys: Option<u64>| keys.unwrap_or(0);
    match pair.comparison {
        Comparison::Plain | Comparison::Fraction => None,
        Comparison::IntegerWithText => (won(figures.more.cast) > 0).then(|| format!("{left} = {}", number_of(&right))),
        Comparison::TextWithInteger => (won(figures.more.cast) > 0).then(|| format!("{} = {right}", number_of(&left))),
        Comparison::Text => {
            // Of forms that win as many keys, the one that changes them least.
            let more = figures.more;
            let best = [more.lower, more.trim, more.lower_trim].map(won).into_iter().max().filter(|best| *best > 0)?;
            Some(if won(more.lower) == best {
                format!("lower({left}) = lower({right})")
            } else if won(more.trim) == best {
                format!("trim({left}) = trim({right})")
            } else {
                format!("lower(trim({left})) = lower(trim({right}))")
            })
        }
    }
}

/// The integer in a text; NULL, which matches nothing, where there is none.
fn number_of(text: &str) -> String {
    format!("try_cast(trim({text}) AS BIGINT)")
}
