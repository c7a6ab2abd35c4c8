use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn write(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
}

/// All files, texts apart.
fn texts_and_others(entry: Entry<'_>) -> Sorted {
    match entry {
        Entry::Folder(".git") => Sorted::PassOver("hidden", ".git/".to_owned()),
        Entry::File(path) if path.ends_with(".txt") => Sorted::Take(0),
        _ => Sorted::Take(1),
    }
}

fn files(listing: &Listing) -> Vec<String> {
    (0..listing.len()).map(|ix| listing.relative(ix)).collect()
}

#[test]
fn order_follows_names_and_folders_are_entered_in_place() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            "b/2.jpg",
            "b/10.jpg",
            "a.jpg",
            "c.PNG",
            "b/d/x.jpeg",
            "notes.txt",
            "b/y.txt",
            ".git/y.jpg",
        ],
    );
    let mut passed_over = PassedOver::default();
    let [texts, others] = Listing::sorted(dir.path(), &texts_and_others, &mut passed_over).unwrap();
    assert_eq!(
        files(&others),
        ["a.jpg", "b/10.jpg", "b/2.jpg", "b/d/x.jpeg", "c.PNG"]
    );
    assert_eq!(files(&texts), ["b/y.txt", "notes.txt"]);
    let is_text = |name: &str| name.ends_with(".txt");
    assert_eq!(Listing::with(dir.path(), &is_text).unwrap(), texts);
    assert_eq!(texts.paths().next(), Some(dir.path().join("b/y.txt")));
    assert_eq!(passed_over.files()[0].first, ".git");
}

#[test]
fn a_link_back_is_not_followed_and_deep_trees_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let deep = format!("{}x.jpg", "d/".repeat(100));
    write(dir.path(), &["a/x.jpg", "b/x.jpg", &deep]);
    symlink(dir.path(), dir.path().join("b/again")).unwrap();
    symlink("../a", dir.path().join("b/other")).unwrap();
    let mut passed_over = PassedOver::default();
    let [_, found] = Listing::sorted(dir.path(), &texts_and_others, &mut passed_over).unwrap();
    assert_eq!(
        files(&found),
        ["a/x.jpg", "b/other/x.jpg", "b/x.jpg", &deep]
    );
    let passed_over = passed_over.files();
    assert_eq!(passed_over.len(), 1);
    assert_eq!(
        (&*passed_over[0].reason, &*passed_over[0].first),
        ("link-loop", "b/again")
    );
}

#[test]
fn folders_that_link_to_each_other_are_entered_once_through_links() {
    let dir = tempfile::tempdir().unwrap();
    for folder in 0..6 {
        write(dir.path(), &[&format!("{folder}/x.jpg")]);
        for other in (0..6).filter(|&other| other != folder) {
            let link = dir.path().join(format!("{folder}/to_{other}"));
            symlink(format!("../{other}"), link).unwrap();
        }
    }
    let mut passed_over = PassedOver::default();
    let [_, found] = Listing::sorted(dir.path(), &texts_and_others, &mut passed_over).unwrap();
    // Each folder by its name and once by a link; of five links in each of those, six are entered.
    assert_eq!(found.len(), 12);
    assert_eq!(passed_over.count(), 12 * 5 - 6);
    let files = passed_over.files();
    let kinds = files.iter().map(|files| (&*files.reason, &*files.kind));
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [("link-loop", "link"), ("linked-again", "folder")]
    );
}

#[test]
fn names_that_are_no_utf_8_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let name = OsStr::from_bytes(b"caf\xE9/stra\xDFe.jpg");
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "").unwrap();
    let found = Listing::with(dir.path(), &|name| name.ends_with(".jpg")).unwrap();
    assert_eq!(files(&found), ["caf\\xE9/stra\\xDFe.jpg"]);
    assert_eq!(found.file(0), path);
}

#[test]
fn a_folder_that_cannot_be_entered_is_an_item_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &["a.jpg", "b/x.jpg", "c.jpg"]);
    let closed = dir.path().join("b");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&closed).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    let all = |_: Entry<'_>| Sorted::Take(0);
    let [found] = Listing::sorted(dir.path(), &all, &mut PassedOver::default()).unwrap();
    assert_eq!(files(&found), ["a.jpg", "b", "c.jpg"]);
    let reasons = (0..3).map(|ix| found.lost(ix).map(|defect| defect.reason));
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [None, Some("unreadable-folder"), None]
    );
    let message = Listing::with(dir.path(), &|_| true)
        .unwrap_err()
        .to_string();
    assert!(message.contains("list"), "{message}");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
}
