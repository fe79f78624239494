//! Names of files: making directories and links, renaming, removing.

use std::io::ErrorKind;
use std::path::Path;

use runtime_tests::in_every_world;
use uring::fs;
use uring::io::raw_os_error;

/// Whether there is something of that name, be it a link that leads nowhere.
async fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path).await {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_removed_file_is_gone() {
    in_every_world(async |directory| {
        let path = directory.join("file");
        fs::write(&path, "bytes").await.expect("written");
        fs::remove_file(&path).await.expect("removed");
        assert!(!is_there(&path).await);
    });
}

#[test]
fn removing_what_is_not_there_is_an_error_that_names_it() {
    in_every_world(async |directory| {
        let path = directory.join("absent");
        let error = fs::remove_file(&path).await.expect_err("absent");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().starts_with(&format!("remove {}: ", path.display())));
    });
}

#[test]
fn removing_a_link_leaves_what_it_leads_to() {
    in_every_world(async |directory| {
        fs::write(directory.join("file"), "bytes").await.expect("written");
        fs::symlink("file", directory.join("link")).await.expect("a link");
        fs::remove_file(directory.join("link")).await.expect("removed");
        assert!(!is_there(&directory.join("link")).await);
        assert!(is_there(&directory.join("file")).await);
    });
}

#[test]
fn a_renamed_file_replaces_the_one_of_that_name() {
    in_every_world(async |directory| {
        let (old, new) = (directory.join("old"), directory.join("new"));
        fs::write(&old, "this").await.expect("written");
        fs::write(&new, "that").await.expect("written");
        fs::rename(&old, &new).await.expect("renamed");
        assert!(!is_there(&old).await);
        assert_eq!(fs::read(&new).await.expect("read"), b"this");
    });
}

#[test]
fn a_failed_rename_names_both_paths() {
    in_every_world(async |directory| {
        let (old, new) = (directory.join("old"), directory.join("new"));
        let error = fs::rename(&old, &new).await.expect_err("absent");
        let expected = format!("rename {} to {}: ", old.display(), new.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert_eq!(raw_os_error(&error), Some(libc::ENOENT));
    });
}

#[test]
fn a_hard_link_is_the_same_file() {
    in_every_world(async |directory| {
        let (file, link) = (directory.join("file"), directory.join("link"));
        fs::write(&file, "bytes").await.expect("written");
        fs::hard_link(&file, &link).await.expect("linked");
        let (file, link) = (fs::metadata(&file).await, fs::metadata(&link).await);
        let (file, link) = (file.expect("metadata"), link.expect("metadata"));
        assert_eq!((file.ino(), file.nlink()), (link.ino(), 2));
    });
}

#[test]
fn a_symbolic_link_is_followed_unless_it_is_asked_about_itself() {
    in_every_world(async |directory| {
        let link = directory.join("link");
        fs::write(directory.join("file"), "bytes").await.expect("written");
        fs::symlink("file", &link).await.expect("linked");
        assert!(fs::metadata(&link).await.expect("metadata").is_file());
        assert!(fs::symlink_metadata(&link).await.expect("metadata").is_symlink());
    });
}

#[test]
fn what_exists_is_known_and_a_link_that_leads_nowhere_does_not() {
    in_every_world(async |directory| {
        let link = directory.join("link");
        fs::symlink("absent", &link).await.expect("linked");
        assert!(fs::try_exists(directory).await.expect("known"));
        assert!(!fs::try_exists(&link).await.expect("known"));
        fs::write(directory.join("file"), "").await.expect("written");
        let error = fs::try_exists(directory.join("file/below")).await.expect_err("no directory");
        assert_eq!(raw_os_error(&error), Some(libc::ENOTDIR));
    });
}

#[test]
fn a_directory_is_made_once() {
    in_every_world(async |directory| {
        let path = directory.join("new");
        fs::create_dir(&path).await.expect("made");
        assert!(fs::metadata(&path).await.expect("metadata").is_dir());
        let error = fs::create_dir(&path).await.expect_err("is there");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn missing_directories_are_made_from_the_top() {
    in_every_world(async |directory| {
        let path = directory.join("a/b/c");
        fs::create_dir_all(&path).await.expect("made");
        assert!(fs::metadata(&path).await.expect("metadata").is_dir());
        fs::create_dir_all(&path).await.expect("they are there");
        fs::create_dir_all("").await.expect("nothing to make");
        fs::create_dir_all("/").await.expect("it is there");
    });
}

#[test]
fn a_file_in_the_way_of_a_directory_is_an_error_that_names_it() {
    in_every_world(async |directory| {
        let path = directory.join("file");
        fs::write(&path, "").await.expect("written");
        let error = fs::create_dir_all(&path).await.expect_err("a file");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let error = fs::create_dir_all(path.join("below")).await.expect_err("a file");
        assert_eq!(raw_os_error(&error), Some(libc::ENOTDIR));
        assert!(error.to_string().contains("file/below"), "{error}");
    });
}

#[test]
fn only_an_empty_directory_is_removed() {
    in_every_world(async |directory| {
        fs::create_dir_all(directory.join("outer/within")).await.expect("made");
        let error = fs::remove_dir(directory.join("outer")).await.expect_err("not empty");
        assert_eq!(raw_os_error(&error), Some(libc::ENOTEMPTY));
        fs::remove_dir(directory.join("outer/within")).await.expect("removed");
        fs::remove_dir(directory.join("outer")).await.expect("removed");
        assert!(!is_there(&directory.join("outer")).await);
    });
}

#[test]
fn a_path_with_a_nul_byte_is_invalid_whatever_is_done_with_it() {
    in_every_world(async |directory| {
        for error in [
            fs::remove_file("a\0b").await.expect_err("NUL"),
            fs::create_dir_all("a\0b").await.expect_err("NUL"),
            fs::rename(directory, "a\0b").await.expect_err("NUL"),
            fs::symlink("a\0b", directory).await.expect_err("NUL"),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("a\0b: the path contains a NUL byte"), "{error}");
        }
    });
}
