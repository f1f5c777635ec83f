//! The reference page of all configuration is made from the code and must be fresh.

#[test]
fn the_reference_page_is_fresh() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = catalogs::home::reference::page();
    if std::env::var_os("WEFT_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/configuration.md is stale: run WEFT_UPDATE=1 cargo test -p catalogs");
}
