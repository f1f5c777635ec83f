//! Homes: what loads, and what is reported when it does not.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use catalogs::{Connections, Home, LogFormat, Registry};
use engine::{Catalog, Code, WeightsMode};

use crate::folder::{Folder, no_env};

const DATASOURCES: &str = r#"
datasources:
  customer_db_source:
    type: csv
    description: Customers
    enabled: true
    connection:
      path: "${CUSTOMERS:customers}"
    databases:
      - customer_db
  accounts_db_source:
    type: parquet
    description: Accounts
    connection:
      path: accounts
    databases:
      - accounts_db
"#;

const SUMMARY: &str = "
data_sources:
  - id: customer_db
    name: Customer DB
    datasource: customer_db_source

  - id: accounts_db
    name: Accounts DB
    datasource: accounts_db_source
";

/// The documented dataset file, with a kind that needs no server.
const SALES: &str = r##"
dataset:
  id: sales_analytics
  name: Sales Analytics
  description: Orders and what came of them
  domain: sales
  version: 1.0.0

database:
  type: csv
  connection:
    path: sales.csv
    table: sales_analytics

semantic:
  schema_file: schemas/sales_analytics.json
  version: 1
  auto_reload: false

llm:
  provider: openai
  model: gpt-4o-mini
  prompts:
    system_template: prompts/sales/system_prompt.j2
    examples_file: prompts/sales/examples.json
  settings:
    temperature: 0.1
    max_tokens: 2000

access:
  default_role: viewer
  allowed_roles: [admin, analyst, viewer]
  projects: []  # Empty = all projects

ui:
  display_name: Sales Analytics
  icon: sales
  color: "#3B82F6"
  order: 1
"##;

fn load(folder: &Folder) -> Home {
    Home::load(folder.path(), &no_env).unwrap()
}

fn problems(folder: &Folder) -> String {
    problems_with(folder, &no_env)
}

fn problems_with(folder: &Folder, env: &dyn Fn(&str) -> Option<String>) -> String {
    Home::load(folder.path(), env).err().map(|problems| problems.to_string()).unwrap_or_default()
}

#[test]
fn an_empty_folder_is_a_home_with_defaults() {
    let home = load(&Folder::new());
    assert_eq!(home.settings.http.listen, "127.0.0.1:8080");
    assert_eq!(home.settings.flight.listen, "127.0.0.1:31337");
    assert_eq!(home.settings.telemetry.log, "info");
    assert_eq!(home.settings.limits, engine::Limits::default());
    assert_eq!(home.settings.data_dir, None);
    assert_eq!(home.counts(), (0, 0));
}

#[test]
fn a_missing_folder_is_a_problem() {
    let folder = Folder::new();
    let missing = folder.path().join("nowhere");
    let problems = Home::load(&missing, &no_env).unwrap_err().to_string();
    assert!(problems.ends_with("nowhere: the home folder does not exist"), "{problems}");
    assert!(Home::load_usable(&missing, &no_env, &Connections::default()).is_err());
}

#[test]
fn the_documented_files_load() {
    let folder = Folder::new()
        .file("datasources.yaml", DATASOURCES)
        .file("summary.yaml", SUMMARY)
        .file("datasets/sales/analytics.yaml", SALES);
    let home = load(&folder);
    assert_eq!(home.counts(), (3, 3));
    let registry = Registry::new(&home);
    assert_eq!(
        registry.registered(),
        [
            "Registered CSV datasource: customer_db_source",
            "Registered Parquet datasource: accounts_db_source",
            "Registered CSV datasource: sales_analytics",
            "Loaded 3 datasources and 3 database mappings",
        ]
    );
    let sales = registry.dataset("sales_analytics").unwrap();
    assert_eq!((sales.name.as_str(), sales.domain.as_deref()), ("Sales Analytics", Some("sales")));
    assert_eq!(sales.version.as_deref(), Some("1.0.0"));
    assert!(sales.access.roles.contains("analyst") && sales.access.projects.is_empty());
    assert_eq!(registry.dataset("customer_db").unwrap().name, "Customer DB");
    assert_eq!(
        home.notes(),
        [
            "datasets/sales/analytics.yaml: llm.prompts.examples_file: there is no file \"prompts/sales/examples.json\" yet",
            "datasets/sales/analytics.yaml: llm.prompts.system_template: there is no file \
             \"prompts/sales/system_prompt.j2\" yet",
            "datasets/sales/analytics.yaml: semantic.schema_file: there is no file \"schemas/sales_analytics.json\" yet",
        ]
    );
}

#[test]
fn the_documented_postgresql_sources_load() {
    let source = |name: &str| {
        format!(
            "  {name}_source:\n    type: postgresql\n    description: Bank\n    enabled: true\n    connection:\n      host: \
             \"${{POSTGRES_HOST:localhost}}\"\n      port: \"${{POSTGRES_PORT:5432}}\"\n      database: \
             \"${{POSTGRES_DB:{name}}}\"\n      user: \"${{POSTGRES_USER:postgres}}\"\n      password: \
             \"${{POSTGRES_PASSWORD:postgres}}\"\n      min_pool_size: 2\n      max_pool_size: 10\n      \
             connect_timeout: 10\n    databases:\n      - {name}\n"
        )
    };
    let sales = SALES
        .replace("type: csv", "type: postgresql")
        .replace("path: sales.csv", "url_env: SALES_DB_URL\n    schema: public")
        .replace("\nsemantic:", "  pool:\n    size: 10\n    max_overflow: 20\n\nsemantic:");
    let folder = Folder::new()
        .file("datasources.yaml", format!("datasources:\n{}\n{}", source("customer_db"), source("accounts_db")))
        .file("summary.yaml", SUMMARY)
        .file("datasets/sales_analytics.yaml", sales);
    let env = |name: &str| (name == "SALES_DB_URL").then(|| "postgres://sales:s3cret@db.example/sales".to_owned());
    let registry = Registry::new(&Home::load(folder.path(), &env).unwrap());
    assert_eq!(
        registry.registered(),
        [
            "Registered PostgreSQL datasource: customer_db_source",
            "Registered PostgreSQL datasource: accounts_db_source",
            "Registered PostgreSQL datasource: sales_analytics",
            "Loaded 3 datasources and 3 database mappings",
        ]
    );
    let sources = registry.sources();
    assert!(sources.iter().all(|source| !source.location.contains("s3cret") && source.health.as_str() == "unused"));
    assert_eq!(problems_with(&folder, &no_env).lines().count(), 1);
}

#[test]
fn a_source_that_lists_databases_needs_no_other_file() {
    let folder = Folder::new().file("datasources.yaml", DATASOURCES);
    let registry = Registry::new(&load(&folder));
    let ids: Vec<_> = registry.datasets().iter().map(|dataset| dataset.id.clone()).collect();
    assert_eq!(ids, ["accounts_db", "customer_db"]);
}

#[test]
fn the_dataset_file_wins_over_the_summary_and_takes_the_rest_from_it() {
    let folder = Folder::new().file("datasources.yaml", DATASOURCES).file("summary.yaml", SUMMARY).file(
        "datasets/customer.yaml",
        "dataset: {id: customer_db, description: All customers}\nui: {display_name: X}\n",
    );
    let registry = Registry::new(&load(&folder));
    let dataset = registry.dataset("customer_db").unwrap();
    assert_eq!(dataset.name, "Customer DB");
    assert_eq!(dataset.description, "All customers");
    assert_eq!(dataset.source, "customer_db_source");
    assert_eq!(registry.registered().last().unwrap(), "Loaded 2 datasources and 2 database mappings");
}

#[test]
fn settings_are_typed_and_the_environment_overrides_the_file() {
    let folder = Folder::new().file(
        "weft.yaml",
        "data_dir: state\nhttp:\n  listen: 0.0.0.0:80\nflight:\nlimits: {query_timeout: 90s, memory: 2GiB, \
         max_rows: 1000, concurrent_queries: \"${N:7}\"}\ntelemetry: {format: json}\nquality: {caution: 0.2}\n",
    );
    let env = |name: &str| match name {
        "WEFT_HTTP__LISTEN" => Some("127.0.0.1:9999".to_owned()),
        "WEFT_LIMITS__SPILL" => Some("1GB".to_owned()),
        "WEFT_QUALITY__MIN_N" => Some("50".to_owned()),
        "WEFT_TELEMETRY__LOG" => Some(String::new()),
        _ => None,
    };
    let settings = Home::load(folder.path(), &env).unwrap().settings;
    assert_eq!(settings.http.listen, "127.0.0.1:9999");
    assert_eq!(settings.flight.listen, "127.0.0.1:31337");
    assert_eq!(settings.data_dir, Some(folder.path().join("state")));
    assert_eq!(settings.limits.query_timeout, Duration::from_secs(90));
    assert_eq!((settings.limits.memory, settings.limits.query_memory), (2 << 30, 1 << 30));
    assert_eq!((settings.limits.max_rows, settings.limits.concurrent_queries), (Some(1000), 7));
    assert_eq!(settings.limits.spill, 1_000_000_000);
    assert_eq!(settings.quality, engine::Quality { caution: 0.2, suppress: 0.333, min_n: 50 });
    assert_eq!((settings.telemetry.log.as_str(), settings.telemetry.format), ("info", LogFormat::Json));
}

#[test]
fn thresholds_of_quality_are_in_order() {
    for (quality, key) in [("{caution: 0.5}", "quality.suppress"), ("{caution: -1}", "quality.caution")] {
        let folder = Folder::new().file("weft.yaml", format!("quality: {quality}\n"));
        let problems = Home::load(folder.path(), &no_env).unwrap_err().to_string();
        assert!(problems.starts_with(&format!("weft.yaml:1: {key}: ")), "{problems}");
    }
}

#[test]
fn all_problems_are_reported_at_once_with_file_key_and_the_nearest_known_key() {
    let folder = Folder::new()
        .file("weft.yaml", "htp: {listen: x}\nhttp: {listen: here}\nlimits: {memory: lots, max_rows: -1}\n")
        .file(
            "datasources.yaml",
            "datasources:\n  a: {type: cvs, connection: {path: x}}\n  b: {type: csv, connection: {pth: x}}\n  c: {}\n",
        )
        .file("datasets/x.yaml", "dataset: {id: Sales-2024, nmae: x}\ndatabase: {type: csv, connection: {header: 3}}\n")
        .file("datasets/y.yaml", "a: b: c\n")
        .file("policies/p.yaml", "rules: [{name: r, tabel: x.y}]\n");
    let kinds: Vec<_> = catalogs::sources::KINDS.iter().map(|kind| kind.name()).collect();
    insta::assert_snapshot!(problems(&folder).replace(&kinds.join(", "), "KINDS"), @r#"
    weft.yaml:1: htp: unknown key (did you mean "http"?)
    weft.yaml:2: http.listen: expected an address such as 127.0.0.1:8080, found "here"
    weft.yaml:3: limits.memory: expected a size such as 512MiB or 2GiB, found "lots"
    weft.yaml:3: limits.max_rows: expected a whole number from 0, found "-1"
    policies/p.yaml:1: rules[0].tabel: unknown key (did you mean "table"?)
    policies/p.yaml:1: rules[0].table: this key is missing
    datasources.yaml:2: datasources.a.type: expected one of KINDS, found "cvs" (did you mean "csv"?)
    datasources.yaml:3: datasources.b.connection.pth: unknown key (did you mean "path"?)
    datasources.yaml:4: datasources.c.type: this key is missing
    datasets/x.yaml:1: dataset.nmae: unknown key (did you mean "name"?)
    datasets/x.yaml:2: database.connection.header: expected true or false, found "3"
    datasets/y.yaml: this is not valid YAML: line 1, column 5: mapping values are not allowed in this context
    "#);
}

#[test]
fn problems_of_names_are_reported() {
    let folder = Folder::new()
        .file("datasources.yaml", "datasources: {lake: {type: csv, connection: {path: x}}}\n")
        .file("summary.yaml", "data_sources: [{id: a, datasource: laek}, {id: system, datasource: lake}]\n")
        .file("datasets/1.yaml", "dataset: {id: one}\ndatabase: {source: lake}\n")
        .file("datasets/2.yaml", "dataset: {id: one}\ndatabase: {source: lake}\n")
        .file("datasets/3.yaml", "dataset: {id: 9lives}\ndatabase: {source: lake}\n")
        .file("datasets/4.yaml", "dataset: {id: four}\n")
        .file("datasets/5.yaml", "dataset: {id: lake}\ndatabase: {type: csv, connection: {path: x}}\n")
        .file("datasets/6.yaml", "dataset: {id: six}\ndatabase: {type: csv}\n")
        .file("datasets/7.yaml", "dataset: {id: local}\ndatabase: {source: lake, type: csv}\n")
        .file(
            "datasets/8.yaml",
            "dataset: {id: pooled}\ndatabase: {type: csv, connection: {path: x}, pool: {size: 1}}\n",
        );
    insta::assert_snapshot!(problems(&folder), @r#"
    datasets/2.yaml:1: dataset.id: "one" is declared in datasets/1.yaml too: choose another id
    datasets/3.yaml:1: dataset.id: "9lives" cannot be an id: write lower-case letters, digits and underscores, a letter or underscore first, at most 63
    datasets/4.yaml: database: this key is missing
    datasets/5.yaml:1: dataset.id: "lake" is declared in datasources.yaml as a source, and this dataset has a source of its own too: choose another id
    datasets/6.yaml:2: database.connection.path: this key is missing
    datasets/7.yaml:1: dataset.id: "local" is reserved: choose another id
    datasets/8.yaml:2: database.pool: sources of kind csv hold no connections: remove this section
    summary.yaml:1: data_sources[0].datasource: there is no source "laek" (did you mean "lake"?)
    summary.yaml:1: data_sources[1].id: "system" is reserved: choose another id
    "#);
}

#[test]
fn names_across_files_are_checked() {
    let folder = Folder::new()
        .file("datasources.yaml", DATASOURCES)
        .file("weft.yaml", "default_dataset: customers_db\n")
        .file("policies/p.yaml", "rules: [{name: only_north, table: custmer_db.customers, rows: \"true\"}]\n");
    insta::assert_snapshot!(problems(&folder), @r#"
    weft.yaml:1: default_dataset: there is no dataset "customers_db" (did you mean "customer_db"?)
    policies/p.yaml:1: rules[0].table: there is no dataset "custmer_db" (did you mean "customer_db"?)
    "#);
}

#[test]
fn an_unset_variable_is_a_problem_and_a_secret_is_never_repeated() {
    let folder =
        Folder::new().file("weft.yaml", "http: {listen: \"${LISTEN}\"}\nlimits: {max_rows: \"${ROWS}\"}\n").file(
            "datasets/x.yaml",
            "dataset: {id: x}\ndatabase: {type: csv, connection: {url_env: SALES_URL, path: x}}\n",
        );
    let env = |name: &str| matches!(name, "ROWS" | "WEFT_LIMITS__MEMORY").then(|| "s3cret".to_owned());
    let problems = problems_with(&folder, &env);
    assert!(!problems.contains("s3cret"), "{problems}");
    insta::assert_snapshot!(problems, @r#"
    weft.yaml:1: http.listen: the environment variable LISTEN is not set, and there is no default; set it, or write ${LISTEN:default}, or give it to Weft: weft secrets set LISTEN
    weft.yaml:2: limits.max_rows: expected a whole number
    environment: WEFT_LIMITS__MEMORY: expected a size such as 512MiB or 2GiB
    datasets/x.yaml:2: database.connection.url_env: the environment variable SALES_URL is not set
    "#);
}

#[test]
fn a_broken_dataset_can_be_left_out_but_broken_policies_cannot() {
    let folder = Folder::new()
        .file("datasets/good.yaml", "dataset: {id: good}\ndatabase: {type: csv, connection: {path: x.csv}}\n")
        .file("datasets/bad.yaml", "dataset: {id: bad}\ndatabase: {type: csv, connection: {path: \"${NO_SUCH}\"}}\n");
    assert!(Home::load(folder.path(), &no_env).is_err());
    let (home, problems) = Home::load_usable(folder.path(), &no_env, &Connections::default()).unwrap();
    assert_eq!(problems.len(), 1);
    let registry = Registry::new(&home);
    assert!(registry.dataset("good").is_some() && registry.dataset("bad").is_none());
    let folder = folder.file("policies/p.yaml", "rules: 3\n");
    assert!(Home::load_usable(folder.path(), &no_env, &Connections::default()).is_err());
}

#[test]
fn a_dataset_whose_file_is_left_out_is_not_opened_by_another_file() {
    let restricted = "dataset: {id: customer_db}\naccess: {allowed_roles: [admin], projets: []}\n";
    let folder = Folder::new()
        .file("datasources.yaml", DATASOURCES)
        .file("summary.yaml", SUMMARY)
        .file("datasets/customer.yaml", restricted);
    let ids = |folder: &Folder| -> Vec<String> {
        let (home, _) = Home::load_usable(folder.path(), &no_env, &Connections::default()).unwrap();
        Registry::new(&home).datasets().iter().map(|dataset| dataset.id.clone()).collect()
    };
    assert_eq!(ids(&folder), ["accounts_db"]);
    // A file that cannot be read may be about any of them.
    assert!(ids(&folder.file("datasets/customer.yaml", "dataset: {id: custo")).is_empty());
}

#[test]
fn weights_are_declared_for_a_dataset_or_for_a_table_of_it() {
    let folder = Folder::new()
        .file(
            "datasets/panel.yaml",
            "dataset: {id: panel}\ndatabase: {type: parquet, connection: {path: panel}}\nweights: {table: people, \
             unit: person_id, weight: weight, period: month, strata: [region, age], psu: household, fpc: total, \
             replicates: {columns: [r1, r2], type: JK1}, mode: default}\n",
        )
        .file(
            "datasets/wave.yaml",
            "dataset: {id: wave}\ndatabase: {type: csv}\ntables:\n  - {name: people, path: people.csv, weights: \
             {weight: w, strata: region}}\n  - {name: events, path: events/*.csv}\n",
        )
        .file("policies/p.yaml", "principals: [{name: anna, roles: [analyst]}]\nrules: []\n");
    let home = load(&folder);
    assert!(home.policies.principal("anna").unwrap().roles().contains("analyst"));
    let registry = Registry::new(&home);
    let weights = registry.dataset("panel").unwrap().weights.clone().unwrap();
    assert_eq!((weights.table.as_deref(), weights.unit.as_deref()), (Some("people"), Some("person_id")));
    assert_eq!(
        (
            weights.strata.len(),
            weights.replicates.as_ref().map_or(0, |replicates| replicates.columns.len()),
            weights.mode
        ),
        (2, 2, WeightsMode::Default)
    );
    let weights = registry.dataset("wave").unwrap().weights.clone().unwrap();
    assert_eq!((weights.table.as_deref(), weights.weight.as_str()), (Some("people"), "w"));
    assert_eq!((weights.strata, weights.mode), (vec!["region".to_owned()], WeightsMode::Offered));
}

#[test]
fn a_dataset_has_one_design() {
    let folder = Folder::new().file(
        "datasets/wave.yaml",
        "dataset: {id: wave}\ndatabase: {type: csv}\nweights: {weight: w, table: persons}\ntables:\n  - {name: people, \
         path: people.csv, weights: {weight: w}}\n  - {name: people, path: x.csv}\n",
    );
    insta::assert_snapshot!(problems(&folder), @r#"
    datasets/wave.yaml:5: tables[0].weights: the dataset has weights already; a dataset has one design
    datasets/wave.yaml:3: weights.table: there is no table "persons"
    datasets/wave.yaml:4: tables: "people" is declared in this file too: choose another id
    "#);
}

const CODEBOOK: &str = "\
table,column,question,value,label,recode,missing,order
people,class,Which class?,A1,Highest,A,,1
people,class,,A,Upper,A,,1
people,class,,B,Middle,,,2
people,class,,9,Refused,,true,
people,sex,,1,Female,,,
";

#[test]
fn codes_are_declared_in_a_dataset_file_and_in_a_codebook() {
    let folder = Folder::new().file("codes/panel.csv", CODEBOOK).file(
        "datasets/panel.yaml",
        "dataset: {id: panel}\ndatabase: {type: csv}\ncodebook: codes/panel.csv\n\
         columns:\n  people.class: {labels: {A: Upper class, B: ~x}, missing: [9, -1]}\n  events.kind: {question: 'What?'}\n\
         tables:\n  - {name: people, path: p.csv, columns: {age: {missing: [0099]}}}\n  - {name: events, path: e.csv}\n",
    );
    let panel = Registry::new(&load(&folder)).dataset("panel").unwrap();
    let class = &panel.codebook["people"]["class"];
    assert_eq!(class.question.as_deref(), Some("Which class?"));
    let labels = [("A", "Upper class"), ("B", "~x")].map(|(value, label)| (value.to_owned(), label.to_owned()));
    assert_eq!(class.labels, labels);
    assert_eq!(class.merge, [("A".to_owned(), vec!["A1".to_owned(), "A".to_owned()])]);
    assert_eq!((class.missing.join(" "), class.order.join(" ")), ("9 -1".to_owned(), "A B".to_owned()));
    assert_eq!(panel.codebook["people"]["sex"].labels.len(), 1);
    assert_eq!(panel.codebook["people"]["age"].missing, ["0099"]);
    assert_eq!(panel.codebook["events"]["kind"].question.as_deref(), Some("What?"));
}

#[test]
fn mistakes_in_a_codebook_are_found_at_once() {
    let folder = Folder::new()
        .file("codes.csv", "column,value,label,recode\nclas,1,one,\nclass,A,x,B\nclass,A,y,\n,2,,\n")
        .file(
            "datasets/one.yaml",
            "dataset: {id: one}\ndatabase: {type: csv}\ncodebook: codes.csv\ntables: [{name: people, path: p.csv}]\n\
             columns:\n  class: {merge: {A: [A1, A1], B: [A1], C: []}, missing: [9, 9, A1], order: [A1, 9, A, A]}\n  \
             people.class: {label: {A: x}}\n  persons.age: {question: x}\n",
        )
        .file(
            "datasets/two.yaml",
            "dataset: {id: two}\ndatabase: {type: csv}\ncodebook: nowhere.csv\ncolumns:\n  class: {missing: [9]}\n  \
             people.class: {missing: [9]}\ntables:\n  - {name: people, path: p.csv, columns: {class: {}}}\n  \
             - {name: events, path: e.csv}\n",
        )
        .file(
            "datasets/three.yaml",
            "dataset: {id: three}\ndatabase: {type: csv}\ncodebook: codes.csv\n\
             tables: [{name: people, path: p.csv}]\n\
             columns:\n  class: {merge: {A: [A1, A1], B: [A1], C: []}, missing: [9, 9, A1], order: [A1, 9, A, A]}\n  \
             persons.age: {question: x}\n",
        );
    insta::assert_snapshot!(problems(&folder), @r#"
    datasets/one.yaml:7: columns.people.class.label: unknown key (did you mean "labels"?)
    codes.csv: line 4: the value "A" has a row above
    codes.csv: line 5: this row names no column
    datasets/three.yaml:6: columns.class.merge.A: "A1" stands here twice
    datasets/three.yaml:6: columns.class.merge.B: code "A1" is merged into "A" too: keep one
    datasets/three.yaml:6: columns.class.merge.C: no code becomes this category: name at least one
    datasets/three.yaml:6: columns.class.missing: "9" stands here twice
    datasets/three.yaml:6: columns.class.missing: code "A1" is merged into "B" too: keep one
    datasets/three.yaml:6: columns.class.order: "A" stands here twice
    datasets/three.yaml:6: columns.class.order: no row has "A1", which is merged into "B": write "B"
    datasets/three.yaml:6: columns.class.order: no row has "9", which stands for no answer: leave it out
    datasets/three.yaml:7: columns.persons.age: there is no table "persons"
    nowhere.csv: the file cannot be read: entity not found
    datasets/two.yaml:5: columns.class: this does not say of which table: write table.class
    datasets/two.yaml:8: tables[0].columns.class: this file has a section on column "class" of table "people" already
    "#);
}

#[test]
fn files_that_nothing_reads_are_noted() {
    let folder = Folder::new().file("datasource.yaml", "").file("notes.yaml", "x: 1\n");
    assert_eq!(
        load(&folder).notes(),
        [
            "datasource.yaml: nothing reads this file (did you mean \"datasources.yaml\"?)",
            "notes.yaml: nothing reads this file",
        ]
    );
}

#[test]
fn a_disabled_source_is_listed_and_its_datasets_answer_with_the_reason() {
    let folder = Folder::new().file(
        "datasources.yaml",
        "datasources: {off: {type: csv, enabled: false, connection: {path: x.csv}, databases: [sales]}}\n",
    );
    let registry = Registry::new(&load(&folder));
    assert_eq!(
        registry.registered(),
        ["Skipped disabled datasource: off", "Loaded 0 datasources and 1 database mapping"]
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sales = registry.dataset("sales").unwrap();
    let error = runtime.block_on(registry.tables(&sales)).unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::SourceUnavailable, "Source \"off\" is switched off."));
    assert_eq!(registry.sources()[0].health, engine::SourceHealth::Disabled);
}

#[test]
fn tables_of_the_command_line_are_recognized_or_refused_with_the_list_of_kinds() {
    let folder = Folder::new().file("a.csv", "x\n1\n").file("lake/part-0.parquet", "").file("b.xlsx", "");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let home = Home::of_tables(&[("a", at("a.csv")), ("lake", at("lake")), ("z", at("z.ndjson.gz"))]).unwrap();
    assert_eq!(home.settings.default_dataset.as_deref(), Some("local"));
    assert_eq!(home.settings.data_dir, None);
    assert_eq!(home.counts(), (3, 1));
    let problems = Home::of_tables(&[
        ("a", at("a.csv")),
        ("a", at("a.csv")),
        ("b", at("b.xlsx")),
        ("c", "ftp://bucket/key:secret".to_owned()),
        ("", "x.csv".to_owned()),
    ])
    .unwrap_err();
    let text = problems.to_string();
    assert_eq!(problems.len(), 4, "{text}");
    assert!(
        text.contains("--table b: no kind of source is recognized by the end of its name; known are csv (csv, tsv)")
    );
    assert!(text.contains("--table c: no kind of source is recognized by \"ftp://\""));
    assert!(!text.contains("secret"));
}
