//! Which of the known tools asks, by what its client calls itself.

use crate::Door;

/// Parts of the names by which clients introduce themselves, in lower case, and the tools that they are of. The first one that
/// fits counts.
const TOOLS: &[(&str, &str)] = &[
    ("claude", "claude"),
    ("anthropic", "claude"),
    ("chatgpt", "chatgpt"),
    ("openai", "chatgpt"),
    ("cursor", "cursor"),
    ("manus", "manus"),
    ("vscode", "vscode"),
    ("visual studio code", "vscode"),
    ("windsurf", "windsurf"),
    ("gemini", "gemini"),
    ("dbeaver", "dbeaver"),
    ("grafana", "grafana"),
    ("superset", "superset"),
    ("tableau", "tableau"),
    ("power bi", "powerbi"),
    ("powerbi", "powerbi"),
    ("mozilla", "browser"),
];

/// The tool that `client` is of; other programs are `api`, and people at this machine `cli`.
pub(super) fn tool(client: Option<&str>, door: Door) -> &'static str {
    let client = client.unwrap_or_default().to_lowercase();
    let known = TOOLS.iter().find(|(part, _)| client.contains(part));
    match (known, door) {
        (Some((_, tool)), _) => tool,
        (None, Door::Cli) => "cli",
        (None, Door::Library) => "library",
        (None, Door::Mcp) => "mcp",
        (None, Door::Flight | Door::Rest) => "api",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_parts_of_their_names() {
        for (client, door, expected) in [
            (Some("claude-ai/0.1.0"), Door::Mcp, "claude"),
            (Some("Claude Code/2.1"), Door::Mcp, "claude"),
            (Some("openai-mcp/1.0.0"), Door::Mcp, "chatgpt"),
            (Some("Cursor/1.7.2"), Door::Mcp, "cursor"),
            (Some("Manus/1.0"), Door::Rest, "manus"),
            (Some("ADBC Flight SQL Driver v1.13.0"), Door::Flight, "api"),
            (Some("curl/8.1"), Door::Rest, "api"),
            (None, Door::Mcp, "mcp"),
            (None, Door::Cli, "cli"),
        ] {
            assert_eq!(tool(client, door), expected, "{client:?}");
        }
    }
}
