//! Rights: attributes, tenants, grants and masks. The oracle is an administrator's view filtered and masked by hand.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use engine::policy::Policies;
use engine::{Access, Code, Dataset, Engine, MemoryCatalog, Principal, Query, Tenancy};
use serde_json::{Value, json};

use super::{error, rows};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn visits() -> RecordBatch {
    batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]))),
        ("region", Arc::new(StringArray::from(vec![Some("north"), Some("south"), Some("east"), Some("north"), None]))),
        ("tenant_id", Arc::new(StringArray::from(vec!["acme", "acme", "beta", "beta", "acme"]))),
        (
            "phone",
            Arc::new(StringArray::from(vec![Some("+91 98220 12345"), Some("123"), None, Some("5551234"), Some("")])),
        ),
        ("level", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]))),
        ("born", Arc::new(Date32Array::from(vec![Some(0), Some(200), Some(400), None, Some(-1)]))),
        (
            "income",
            Arc::new(
                Decimal128Array::from(vec![149_950, 150_050, 0, 999_999, -1]).with_precision_and_scale(12, 2).unwrap(),
            ),
        ),
    ])
}

fn catalog() -> MemoryCatalog {
    let regions = batch(vec![("region", Arc::new(StringArray::from(vec!["north", "south"])))]);
    let shared = Dataset {
        id: "clinic".to_owned(),
        tenancy: Some(Tenancy { column: "tenant_id".to_owned(), shared: ["regions".to_owned()].into() }),
        ..Dataset::default()
    };
    let listed = Dataset {
        id: "listed".to_owned(),
        access: Access { roles: ["viewer".to_owned()].into(), ..Access::default() },
        ..Dataset::default()
    };
    let tables = [
        ("clinic", "visits", visits()),
        ("clinic", "regions", regions.clone()),
        ("lab", "visits", visits()),
        ("lab", "regions", regions.clone()),
        ("listed", "regions", regions),
    ];
    let catalog = tables.into_iter().fold(MemoryCatalog::default(), |catalog, (dataset, table, batch)| {
        catalog.with_batches(dataset, table, batch.schema(), vec![batch]).unwrap()
    });
    catalog.with_dataset(shared).with_dataset(listed)
}

fn engine(policies: Value) -> Engine {
    let policies: Policies = serde_json::from_value(policies).unwrap();
    Engine::builder(catalog()).policies(policies).mask_key([7; 32]).build().unwrap()
}

fn asker(principal: Value) -> (Value, Principal) {
    let policies: Policies = serde_json::from_value(json!({"principals": [principal.clone()]})).unwrap();
    (principal, policies.principal("meera").unwrap())
}

/// What meera sees of `sql` under `policies`.
async fn seen(policies: Value, principal: Value, sql: &str) -> Vec<String> {
    rows(&engine(policies), &asker(principal).1, sql).await
}

fn rule(rule: Value) -> Value {
    let mut whole = json!({"name": "r", "table": "lab.visits"});
    whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    json!({"rules": [whole]})
}

const IDS: &str = "SELECT id FROM lab.visits ORDER BY id";

#[tokio::test]
async fn a_condition_speaks_of_attributes() {
    for (condition, attributes, ids) in [
        ("region = @region", json!({"region": "north"}), &["1", "4"][..]),
        ("region IN (@regions)", json!({"regions": ["north", "east"]}), &["1", "3", "4"]),
        ("region IN (@regions)", json!({"regions": "south"}), &["2"]),
        ("level <= @level", json!({"level": 2}), &["1", "2"]),
        ("level <= @level", json!({"level": "2"}), &["1", "2"]),
        ("born >= @since", json!({"since": "1970-06-01"}), &["2", "3"]),
        ("region = @region", json!({"region": "north' OR '1'='1"}), &[]),
        ("region = @region", json!({}), &[]),
        ("region IS NULL OR region = @region", json!({}), &[]),
        ("region <> @region", json!({"region": []}), &[]),
    ] {
        let principal = json!({"name": "meera", "attributes": attributes});
        assert_eq!(
            seen(rule(json!({"rows": condition})), principal.clone(), IDS).await,
            ids,
            "{condition} {principal}"
        );
    }
    let principal = json!({"name": "meera", "roles": ["north", "x"], "projects": ["east"]});
    assert_eq!(seen(rule(json!({"rows": "region IN (@roles)"})), principal.clone(), IDS).await, ["1", "4"]);
    assert_eq!(seen(rule(json!({"rows": "region IN (@projects)"})), principal, IDS).await, ["3"]);
}

#[tokio::test]
async fn conditions_of_several_rules_hold_together_or_one_of_them() {
    let rules = |combine: &str| {
        json!({"rules": [
            {"name": "a", "table": "lab.visits", "rows": "region = 'north'", "combine": combine},
            {"name": "b", "table": "lab.visits", "rows": "level >= 3", "combine": combine},
            {"name": "c", "table": "lab.visits", "rows": "tenant_id = 'beta'"},
            {"name": "d", "table": "lab.visits", "rows": "false", "except": ["free"]}
        ]})
    };
    let principal = json!({"name": "meera", "roles": ["free"]});
    assert_eq!(seen(rules("all"), principal.clone(), IDS).await, ["4"]);
    assert_eq!(seen(rules("any"), principal, IDS).await, ["3", "4"]);
    assert!(seen(rules("any"), json!({"name": "meera"}), IDS).await.is_empty());
}

#[tokio::test]
async fn a_role_has_the_rules_of_those_that_it_includes() {
    let mut policies = rule(json!({"rows": "region = 'north'", "roles": ["analyst"]}));
    policies["roles"] =
        json!([{"name": "senior", "includes": ["middle"]}, {"name": "middle", "includes": ["analyst", "senior"]}]);
    policies["principals"] = json!([{"name": "meera", "roles": ["senior"]}]);
    let engine = engine(policies.clone());
    let principal = engine.declared("meera").unwrap().principal();
    assert_eq!(rows(&engine, &principal, IDS).await, ["1", "4"]);
}

#[tokio::test]
async fn a_tenant_sees_its_own_rows_whatever_its_roles() {
    let ids = "SELECT id FROM clinic.visits ORDER BY id";
    let of = |tenant: Value, role: &str| json!({"name": "meera", "roles": [role], "tenant": tenant});
    for (principal, expected) in [
        (of(json!("acme"), "analyst"), &["1", "2", "5"][..]),
        (of(json!("beta"), "admin"), &["3", "4"]),
        (of(json!("other"), "analyst"), &[]),
        (of(Value::Null, "analyst"), &[]),
        (of(Value::Null, "admin"), &["1", "2", "3", "4", "5"]),
    ] {
        assert_eq!(seen(json!({}), principal.clone(), ids).await, expected, "{principal}");
    }
    // A rule narrows further, and never widens.
    let rules = json!({"rules": [{"name": "r", "table": "clinic.visits", "rows": "level > 1", "combine": "any"}]});
    assert_eq!(seen(rules, of(json!("acme"), "analyst"), ids).await, ["2", "5"]);
    let shared = "SELECT count(*) FROM clinic.regions";
    assert_eq!(seen(json!({}), of(Value::Null, "analyst"), shared).await, ["2"]);
}

#[tokio::test]
async fn a_table_that_lacks_the_column_of_tenants_stays_closed() {
    let catalog = catalog().with_dataset(Dataset {
        id: "lab".to_owned(),
        tenancy: Some(Tenancy { column: "tenant_id".to_owned(), ..Tenancy::default() }),
        ..Dataset::default()
    });
    let engine = Engine::builder(catalog).build().unwrap();
    let principal = Principal::new("meera", []).with_tenant(Some("acme".to_owned()));
    assert_eq!(rows(&engine, &principal, IDS).await, ["1", "2", "5"]);
    let refused = error(&engine, &principal, Query::new("SELECT * FROM lab.regions")).await;
    assert_eq!(refused.code(), Code::Internal);
}

#[tokio::test]
async fn what_is_not_granted_is_as_if_it_did_not_exist() {
    let grants = json!({"grants": [
        {"roles": ["analyst"], "on": ["lab.visits"], "columns": ["id", "region"]},
        {"roles": ["analyst"], "projects": ["p"], "on": ["lab.visits"], "columns": ["level"]},
        {"roles": ["boss"], "on": ["lab", "clinic.regions"]}
    ]});
    let engine = engine(grants);
    let of = |roles: &[&str], projects: &[&str]| {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Principal::new("meera", own(roles)).with_projects(own(projects))
    };
    let (analyst, boss, nobody) = (of(&["analyst"], &[]), of(&["boss"], &[]), of(&["other"], &[]));
    let columns = "SELECT column_name FROM system.columns WHERE dataset_id = 'lab' ORDER BY table_name, ordinal";
    assert_eq!(rows(&engine, &analyst, columns).await, ["id", "region"]);
    assert_eq!(rows(&engine, &of(&["analyst"], &["p"]), columns).await, ["id", "region", "level"]);
    assert_eq!(rows(&engine, &boss, columns).await.len(), 8);
    assert_eq!(rows(&engine, &analyst, "SELECT * FROM lab.visits WHERE id = 1").await, ["1|north"]);
    let tables = "SELECT dataset_id || '.' || table_name FROM system.tables WHERE dataset_id <> 'system' ORDER BY 1";
    assert_eq!(rows(&engine, &analyst, tables).await, ["lab.visits"]);
    assert_eq!(rows(&engine, &boss, tables).await, ["clinic.regions", "lab.regions", "lab.visits"]);
    assert!(rows(&engine, &nobody, tables).await.is_empty());
    assert_eq!(rows(&engine, &of(&["viewer"], &[]), tables).await, ["listed.regions"], "it lists its own roles");
    for (principal, sql, code) in [
        (&analyst, "SELECT phone FROM lab.visits", Code::ColumnNotFound),
        (&analyst, "SELECT id FROM lab.visits WHERE phone = 'x'", Code::ColumnNotFound),
        (&analyst, "SELECT * FROM lab.regions", Code::TableNotFound),
        (&analyst, "SELECT * FROM clinic.visits", Code::DatasetNotFound),
        (&boss, "SELECT * FROM clinic.visits", Code::TableNotFound),
        (&nobody, "SELECT * FROM lab.visits", Code::DatasetNotFound),
    ] {
        let hidden = error(&engine, principal, Query::new(sql)).await;
        assert_eq!(hidden.code(), code, "{sql}");
        // The same words as for what nobody has.
        let said = format!("{} {:?}", hidden.message(), hidden.hint_text());
        for secret in ["regions", "clinic", "income", "tenant_id"] {
            assert!(
                sql.contains(secret) || principal.roles().contains("boss") || !said.contains(secret),
                "{sql}: {said}"
            );
        }
    }
}

#[tokio::test]
async fn ready_made_masks_are_as_masks_by_hand() {
    let digits = "'****'";
    for (column, mask, by_hand) in [
        (
            "phone",
            json!({"partial": 4}),
            format!(
                "CASE WHEN phone IS NULL THEN NULL WHEN char_length(phone) > 4 THEN concat({digits}, right(phone, 4)) ELSE {digits} END"
            ),
        ),
        ("born", json!({"date": "year"}), "date_trunc('year', born)::date".to_owned()),
        ("income", json!({"round": 1000}), "(round(income::double / 1000) * 1000)::decimal(12, 2)".to_owned()),
        ("level", json!({"round": 2}), "(round(level::double / 2) * 2)::bigint".to_owned()),
        ("level", json!({"constant": 0}), "CAST(0 AS BIGINT)".to_owned()),
        ("region", json!({"constant": "x"}), "'x'".to_owned()),
        (
            "region",
            json!({"recode": {"values": {"north": "N", "south": "S"}}}),
            "CASE region WHEN 'north' THEN 'N' WHEN 'south' THEN 'S' END".to_owned(),
        ),
        (
            "region",
            json!({"recode": {"values": {"north": "N"}, "other": "-"}}),
            "CASE WHEN region IS NULL THEN NULL WHEN region = 'north' THEN 'N' ELSE '-' END".to_owned(),
        ),
        (
            "level",
            json!({"recode": {"values": {"1": "10"}, "other": "99"}}),
            "CASE WHEN level = 1 THEN 10 ELSE 99 END".to_owned(),
        ),
        ("region", json!("CASE WHEN level > 2 THEN region END"), "CASE WHEN level > 2 THEN region END".to_owned()),
        ("region", json!("@region"), "'north'".to_owned()),
        ("region", json!("@nothing"), "CAST(NULL AS VARCHAR)".to_owned()),
    ] {
        let engine = engine(rule(json!({"masks": {column: mask}})));
        let (_, meera) = asker(json!({"name": "meera", "attributes": {"region": "north"}}));
        for sql in [
            format!("SELECT id, {column} FROM {{t}} p ORDER BY id"),
            format!("SELECT {column}, count(*) FROM {{t}} p GROUP BY 1 ORDER BY 1"),
            format!("SELECT min({column}), max({column}), count({column}), count(DISTINCT {column}) FROM {{t}} p"),
            format!("SELECT id FROM {{t}} p ORDER BY {column}, id"),
            format!("SELECT a.id, b.id FROM {{t}} a JOIN {{t}} b ON a.{column} = b.{column} ORDER BY 1, 2"),
            format!("SELECT id FROM {{t}} p WHERE {column} IS NOT NULL ORDER BY id"),
        ] {
            let masked = rows(&engine, &meera, &sql.replace("{t}", "lab.visits")).await;
            let view = format!("(SELECT * EXCEPT ({column}), {by_hand} AS {column} FROM lab.visits)");
            let expected = rows(&engine, &Principal::local(), &sql.replace("{t}", &view)).await;
            assert_eq!(masked, expected, "{mask}: {sql}");
        }
    }
}

#[tokio::test]
async fn hashes_tell_values_apart_and_nothing_else() {
    let policies = json!({"rules": [
        {"name": "a", "table": "lab.visits", "masks": {"region": {"hash": true}, "level": {"hash": true}}},
        {"name": "b", "table": "lab.regions", "masks": {"region": {"hash": true}}}
    ]});
    let (_, meera) = asker(json!({"name": "meera"}));
    let first = engine(policies.clone());
    let regions = rows(&first, &meera, "SELECT region, level FROM lab.visits ORDER BY id").await;
    assert_eq!(regions[0].split('|').next(), regions[3].split('|').next(), "the same value has the same hash");
    assert_ne!(regions[0].split('|').next(), regions[1].split('|').next());
    assert!(!regions.concat().contains("north"), "{regions:?}");
    let joined = "SELECT count(*) FROM lab.visits v JOIN lab.regions r ON v.region = r.region";
    assert_eq!(rows(&first, &meera, joined).await, ["3"], "hashes of two tables meet");
    let guessed = "SELECT count(*) FROM lab.visits WHERE region = 'north'";
    assert_eq!(rows(&first, &meera, guessed).await, ["0"]);
    let policies: Policies = serde_json::from_value(policies).unwrap();
    let other = Engine::builder(catalog()).policies(policies).mask_key([8; 32]).build().unwrap();
    assert_ne!(rows(&other, &meera, "SELECT region, level FROM lab.visits ORDER BY id").await, regions);
}

#[tokio::test]
async fn rules_that_do_not_fit_are_told_with_their_part() {
    let policies = json!({"rules": [
        {"name": "a", "table": "lab.visits", "rows": "regoin = 'north'"},
        {"name": "b", "table": "lab.visits", "rows": "level"},
        {"name": "c", "table": "lab.visits", "rows": "level > @level AND region IN (@regions)", "masks": {"phon": "NULL"}},
        {"name": "d", "table": "lab.visits", "masks": {"born": {"partial": 2}, "phone": {"round": 5}, "level": {"hash": true}}},
        {"name": "e", "table": "lab.nothing", "rows": "true"},
        {"name": "f", "table": "lab.visits", "rows": "nothing(level) = 1"}
    ]});
    let policies: Policies = serde_json::from_value(policies).unwrap();
    let engine = Engine::builder(catalog()).build().unwrap();
    let misfits = engine.misfits(&catalog(), &policies).await;
    let keys: Vec<String> = misfits.iter().map(|misfit| format!("rules.{}.{}", misfit.rule, misfit.part)).collect();
    let expected = [
        "rules.a.rows",
        "rules.b.rows",
        "rules.c.masks.phon",
        "rules.d.masks.born",
        "rules.d.masks.phone",
        "rules.e.table",
        "rules.f.rows",
    ];
    assert_eq!(keys, expected, "{misfits:#?}");
    assert!(misfits[2].message.contains("did you mean \"phone\"?"), "{misfits:?}");
}
