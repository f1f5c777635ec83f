//! Which format an `Accept` header asks for (RFC 9110, section 12.5.1).
//!
//! Of the formats that the header allows, the one with the highest quality; of equals, the one named most exactly,
//! then the one named first, then JSON. Without a header, JSON.

use engine::{Code, Error};

use super::{FORMATS, Format};

/// One member of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    place: usize,
}

impl Range<'_> {
    /// How exactly the range names `format`; None where it does not.
    fn precision(&self, format: Format) -> Option<u8> {
        let (kind, subtype) = format.media_type().split_once('/')?;
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (own, "*") if own.eq_ignore_ascii_case(kind) => Some(1),
            (own, sub) if own.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => Some(2),
            _ => None,
        }
    }
}

/// The format that `accept` asks for; absent or empty means any.
///
/// # Errors
/// `not_acceptable` where it allows no format that there is; the hint lists those that there are.
pub fn negotiate(accept: Option<&str>) -> Result<Format, Error> {
    let ranges: Vec<Range<'_>> = accept.unwrap_or_default().split(',').enumerate().filter_map(range).collect();
    if ranges.is_empty() {
        return Ok(Format::Json);
    }
    let best =
        FORMATS.iter().filter_map(|row| rank(row.0, &ranges)).max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    best.map(|(_, _, format)| format).ok_or_else(|| {
        let types = FORMATS.map(|row| row.2).join(", ");
        Error::new(Code::NotAcceptable, "None of the media types in Accept can be written.")
            .hint(format!("Media types: {types}."))
    })
}

/// A format's quality, and what decides between equals. None where the header rules it out.
fn rank(format: Format, ranges: &[Range<'_>]) -> Option<(f32, impl Ord + use<>, Format)> {
    let named = ranges.iter().filter_map(|range| Some((range.precision(format)?, range)));
    let (precision, range) = named.max_by_key(|(precision, range)| (*precision, std::cmp::Reverse(range.place)))?;
    let order = (precision, std::cmp::Reverse(range.place), format == Format::Json, std::cmp::Reverse(format as usize));
    (range.quality > 0.0).then_some((range.quality, order, format))
}

/// Reads one member; what is no media range is passed over, as it cannot name a format.
fn range((place, text): (usize, &str)) -> Option<Range<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let quality = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .map_or(1.0, |(_, value)| value.trim().parse().unwrap_or(1.0));
    Some(Range { kind, subtype, quality, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, format: Format) {
        assert_eq!(negotiate(Some(accept)).ok(), Some(format), "{accept}");
    }

    #[test]
    fn without_a_wish_the_answer_is_json() {
        assert_eq!(negotiate(None).ok(), Some(Format::Json));
        check("", Format::Json);
        check("*/*", Format::Json);
        check("text/html,application/xhtml+xml,*/*;q=0.8", Format::Json);
        check("application/*", Format::Json);
    }

    #[test]
    fn the_highest_quality_wins_then_the_order() {
        check("text/csv", Format::Csv);
        check("text/csv;q=0.5, text/markdown;q=0.9", Format::Markdown);
        check("text/csv, application/json", Format::Csv);
        check("*/*;q=0.1, application/vnd.apache.parquet", Format::Parquet);
        check("*/*, application/x-ndjson", Format::Ndjson);
        check("TEXT/CSV; charset=utf-8; header=present", Format::Csv);
        check("text/*", Format::Csv);
    }

    #[test]
    fn what_is_ruled_out_is_not_sent() {
        check("application/json;q=0, */*", Format::Arrow);
        let error = negotiate(Some("text/html, image/png")).unwrap_err();
        assert_eq!(error.code(), Code::NotAcceptable);
        assert!(FORMATS.iter().all(|row| error.hint_text().is_some_and(|hint| hint.contains(row.2))));
    }
}
