//! SQL as tokens, and what is put right of them before they are parsed: the parser takes everything up to the end of an
//! expression for the right side of `IS DISTINCT FROM`, and the planner takes the pattern of `SIMILAR TO` for another language.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::numbers::approximate;

/// Where an expression ends, whatever comes then.
const ENDS: [Keyword; 40] = [
    Keyword::AS,
    Keyword::ASC,
    Keyword::ANTI,
    Keyword::CROSS,
    Keyword::DESC,
    Keyword::ELSE,
    Keyword::END,
    Keyword::EXCEPT,
    Keyword::FETCH,
    Keyword::FOR,
    Keyword::FROM,
    Keyword::FULL,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::INNER,
    Keyword::INTERSECT,
    Keyword::JOIN,
    Keyword::LATERAL,
    Keyword::LEFT,
    Keyword::LIMIT,
    Keyword::MINUS,
    Keyword::NATURAL,
    Keyword::NULLS,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::ORDER,
    Keyword::PARTITION,
    Keyword::QUALIFY,
    Keyword::RANGE,
    Keyword::RETURNING,
    Keyword::RIGHT,
    Keyword::ROWS,
    Keyword::SEMI,
    Keyword::THEN,
    Keyword::UNION,
    Keyword::USING,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WINDOW,
    Keyword::WITH,
];

/// The tokens of a statement or an expression.
///
/// # Errors
/// What the text is not, as the end of a sentence about it.
pub(crate) fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, String> {
    let tokens =
        Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().map_err(|error| error.to_string())?;
    let is_similar = |at: usize| is(&tokens, at, Keyword::SIMILAR) && is(&tokens, after(&tokens, at), Keyword::TO);
    if (0..tokens.len()).any(is_similar) {
        return Err("SIMILAR TO is not known here: write LIKE, or ~ with a regular expression".to_owned());
    }
    Ok(bounded(approximate(tokens)))
}

fn is(tokens: &[TokenWithSpan], at: usize, wanted: Keyword) -> bool {
    keyword(tokens, at) == Some(wanted)
}

fn keyword(tokens: &[TokenWithSpan], at: usize) -> Option<Keyword> {
    match &tokens.get(at)?.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// The next token that is no space.
fn after(tokens: &[TokenWithSpan], at: usize) -> usize {
    let rest = tokens.iter().enumerate().skip(at + 1);
    rest.into_iter().find(|(_, token)| !matches!(token.token, Token::Whitespace(_))).map_or(tokens.len(), |(at, _)| at)
}

/// The tokens before one that are no spaces, the nearest first.
fn before(tokens: &[TokenWithSpan], at: usize) -> impl Iterator<Item = usize> {
    let before = tokens.iter().enumerate().take(at).rev();
    before.filter(|(_, token)| !matches!(token.token, Token::Whitespace(_))).map(|(at, _)| at)
}

/// Writes `a IS NOT DISTINCT FROM b AND ..` as `a <=> b AND ..`, and without NOT as `a <=> b IS FALSE AND ..`. Where neither AND
/// nor OR follows, the right side ends where the expression does.
fn bounded(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut changes: Vec<Change> = Vec::new();
    for at in 0..tokens.len() {
        let from = after(&tokens, at);
        let is_comparison = is(&tokens, at, Keyword::DISTINCT) && is(&tokens, from, Keyword::FROM);
        let Some((begins, is_negated)) = is_comparison.then(|| beginning(&tokens, at)).flatten() else { continue };
        let of = after(&tokens, from);
        let Some((ends, has_comparison)) = end(&tokens, of) else { continue };
        changes.push(Change { from: begins, to: from + 1, put: vec![Token::Spaceship] });
        if has_comparison {
            changes.push(Change { from: of, to: of, put: vec![Token::LParen] });
        }
        let mut put = Vec::from_iter(has_comparison.then_some(Token::RParen));
        if !is_negated {
            put.extend([Token::make_keyword("IS"), Token::make_keyword("FALSE")]);
        }
        changes.push(Change { from: ends, to: ends, put });
    }
    changes.sort_by_key(|change| change.from);
    let mut changes = changes.into_iter().peekable();
    let mut read = Vec::with_capacity(tokens.len());
    let mut left_out = 0;
    for (at, token) in tokens.into_iter().enumerate() {
        while let Some(change) = changes.next_if(|change| change.from == at) {
            read.extend(change.put.into_iter().map(|put| TokenWithSpan::new(put, token.span)));
            left_out = change.to.max(left_out);
        }
        if at >= left_out {
            read.push(token);
        }
    }
    read
}

/// Tokens that are put in place of those from one on, up to another.
struct Change {
    from: usize,
    to: usize,
    put: Vec<Token>,
}

/// Where the IS of IS DISTINCT is, and whether NOT stands after it: SELECT DISTINCT FROM has none.
fn beginning(tokens: &[TokenWithSpan], distinct: usize) -> Option<(usize, bool)> {
    let mut words = before(tokens, distinct);
    let word = words.next()?;
    match keyword(tokens, word)? {
        Keyword::IS => Some((word, false)),
        Keyword::NOT => words.next().filter(|at| is(tokens, *at, Keyword::IS)).map(|at| (at, true)),
        _ => None,
    }
}

/// The AND or OR that ends an operand, and whether there are comparisons in it; None where it ends with the expression.
fn end(tokens: &[TokenWithSpan], begins: usize) -> Option<(usize, bool)> {
    let (mut depth, mut cases, mut betweens, mut has_comparison) = (0_usize, 0_usize, 0_usize, false);
    for (at, token) in tokens.iter().enumerate().skip(begins) {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.checked_sub(1)?,
            Token::Comma | Token::SemiColon | Token::EOF if depth == 0 && cases == 0 => return None,
            _ if depth > 0 => {}
            Token::Word(_) => match keyword(tokens, at) {
                Some(Keyword::CASE) => cases += 1,
                Some(Keyword::END) if cases > 0 => cases -= 1,
                _ if cases > 0 => {}
                Some(Keyword::BETWEEN) => (betweens, has_comparison) = (betweens + 1, true),
                Some(Keyword::AND) if betweens > 0 => betweens -= 1,
                Some(Keyword::AND | Keyword::OR | Keyword::XOR) => return Some((at, has_comparison)),
                Some(Keyword::LIKE | Keyword::ILIKE | Keyword::IN | Keyword::IS) => has_comparison = true,
                Some(word) if ENDS.contains(&word) && !is_inside(tokens, at) => return None,
                _ => {}
            },
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Period
            | Token::DoubleColon => {}
            // Operators, of which some bind as a comparison does.
            _ => has_comparison |= cases == 0,
        }
    }
    None
}

/// Whether a word that ends expressions is part of one here: `left(a, 2)`, `WITHIN GROUP`, `IS DISTINCT FROM`.
fn is_inside(tokens: &[TokenWithSpan], at: usize) -> bool {
    let before = before(tokens, at).next().and_then(|at| keyword(tokens, at));
    match keyword(tokens, at) {
        Some(Keyword::LEFT | Keyword::RIGHT) => {
            tokens.get(after(tokens, at)).is_some_and(|token| token.token == Token::LParen)
        }
        Some(Keyword::GROUP) => before == Some(Keyword::WITHIN),
        Some(Keyword::FROM) => before == Some(Keyword::DISTINCT),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParserBuilder;
    use datafusion::sql::sqlparser::ast::Expr;

    use super::*;

    #[test]
    fn the_right_side_of_a_comparison_ends_where_it_does_in_postgresql() {
        for (text, expected) in [
            ("a IS DISTINCT FROM true AND b", "[a <=> true IS FALSE] AND [b]"),
            ("p AND a IS NOT DISTINCT FROM b OR c", "[p AND a <=> b] OR [c]"),
            ("NOT a IS DISTINCT FROM b = c AND d", "[NOT a <=> (b = c) IS FALSE] AND [d]"),
            ("a IS DISTINCT FROM b BETWEEN 1 AND 2 AND c", "[a <=> (b BETWEEN 1 AND 2) IS FALSE] AND [c]"),
            (
                "a IS DISTINCT FROM CASE WHEN b AND c THEN d END OR e",
                "[a <=> CASE WHEN b AND c THEN d END IS FALSE] OR [e]",
            ),
            ("a IS NOT DISTINCT FROM left(b, 2) AND c", "[a <=> left(b, 2)] AND [c]"),
            ("(a IS DISTINCT FROM b) AND c", "[(a IS DISTINCT FROM b)] AND [c]"),
            (
                "a is distinct from t.b and c is distinct from d or e",
                "[a <=> t.b IS FALSE AND c <=> d IS FALSE] OR [e]",
            ),
            ("a IS DISTINCT FROM b::int + 1 AND c", "[a <=> (b::INT + 1) IS FALSE] AND [c]"),
        ] {
            let mut parser =
                DFParserBuilder::new(tokens(text).unwrap()).with_dialect(&GenericDialect {}).build().unwrap();
            let parsed = parser.parse_expr().unwrap();
            let Expr::BinaryOp { left, op, right } = parsed.expr else { panic!("{text}: {parsed}") };
            assert_eq!(format!("[{left}] {op} [{right}]"), expected);
        }
    }

    #[test]
    fn other_clauses_are_not_an_operand() {
        for text in [
            "SELECT a IS DISTINCT FROM b AS x FROM t WHERE c AND d",
            "SELECT a IS DISTINCT FROM b x FROM t WHERE c AND d",
            "SELECT DISTINCT FROM t WHERE a AND b",
            "SELECT 1 FROM t WHERE a IS DISTINCT FROM b GROUP BY c HAVING d AND e",
            "SELECT CASE WHEN a IS DISTINCT FROM b THEN c AND d END",
            "SELECT 1 FROM t JOIN u ON t.a IS NOT DISTINCT FROM u.a LEFT JOIN v ON v.a AND v.b",
        ] {
            let shown = tokens(text).unwrap().iter().map(|token| token.token.to_string()).collect::<String>();
            assert_eq!(shown, text);
        }
    }

    #[test]
    fn a_pattern_of_another_language_is_refused() {
        assert!(tokens("a NOT SIMILAR  TO 'P00%'").unwrap_err().contains("LIKE"));
        assert!(tokens("SELECT similar AS to_what FROM t").is_ok());
    }
}
