//! Owns the proof that the README in Chinese says what the one in English says, section by section the
//! same code blocks, inline code, links and figures, and that links between pages lead somewhere.
//! Refuses to judge words: what is missing is named with its section, so that it can be brought over.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A heading with what stands under it, without the blocks of code.
#[derive(Debug, Default)]
struct Section {
    heading: String,
    blocks: Vec<String>,
    prose: String,
}

fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        let fence = line.starts_with("```");
        if let Some(open) = &mut block {
            open.push_str(line);
            open.push('\n');
            if fence {
                let closed = block.take();
                if let Some(section) = sections.last_mut() {
                    section.blocks.extend(closed);
                }
            }
        } else if fence {
            block = Some(format!("{line}\n"));
        } else if line.starts_with('#') {
            sections.push(Section { heading: line.to_owned(), ..Section::default() });
        } else if let Some(section) = sections.last_mut() {
            section.prose.push_str(line);
            section.prose.push('\n');
        }
    }
    sections
}

/// What stands between `open` and `close`, each once.
fn between<'t>(text: &'t str, open: &str, close: &str) -> BTreeSet<&'t str> {
    let pieces = text.split(open).skip(1);
    pieces.filter_map(|piece| Some(piece.split_once(close)?.0)).collect()
}

/// Code within the sentences.
fn code(text: &str) -> BTreeSet<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Numbers outside of code, each once; one word may hold several.
fn figures(text: &str) -> BTreeSet<&str> {
    let plain = text.lines().flat_map(|line| line.split('`').step_by(2));
    let words =
        plain.flat_map(|words| words.split(|c: char| !c.is_ascii_digit() && !".,".contains(c)));
    let trimmed = words.map(|word| word.trim_matches(['.', ',']));
    trimmed.filter(|word| !word.is_empty()).collect()
}

/// What one of the two has and the other has not.
fn differences(english: &str, chinese: &str) -> Vec<String> {
    let (english, chinese) = (sections(english), sections(chinese));
    let headings = |sections: &[Section]| -> Vec<String> {
        sections.iter().map(|section| section.heading.clone()).collect()
    };
    if english.len() != chinese.len() {
        return vec![format!(
            "not as many headings: {:#?} {:#?}",
            headings(&english),
            headings(&chinese)
        )];
    }
    let mut faults = Vec::new();
    for (here, there) in english.iter().zip(&chinese) {
        let at = format!("{} ({})", here.heading, there.heading);
        let level = |heading: &str| heading.bytes().take_while(|byte| *byte == b'#').count();
        if level(&here.heading) != level(&there.heading) {
            faults.push(format!("{at}: another level"));
        }
        let lacks = |block: &&String| !there.blocks.contains(block);
        let blocks = here.blocks.iter().filter(lacks);
        faults.extend(blocks.map(|block| format!("{at}: bring this block over:\n{block}")));
        if here.blocks.len() < there.blocks.len() {
            faults.push(format!("{at}: has a block that is no more"));
        }
        // The two name each other.
        let links = |prose| {
            let mut links = between(prose, "](", ")");
            links.retain(|link| !link.starts_with("README"));
            links
        };
        let mut compare = |what: &str, ours: BTreeSet<&str>, theirs: BTreeSet<&str>| {
            let lacking: Vec<_> = ours.difference(&theirs).collect();
            let extra: Vec<_> = theirs.difference(&ours).collect();
            if !lacking.is_empty() || !extra.is_empty() {
                faults.push(format!("{at}: {what}: bring over {lacking:?}, take out {extra:?}"));
            }
        };
        compare("code", code(&here.prose), code(&there.prose));
        compare("links", links(&here.prose), links(&there.prose));
        let (ours, theirs) = (figures(&here.prose), figures(&there.prose));
        // Chinese may have figures where English has words.
        compare("figures", ours.clone(), theirs.intersection(&ours).copied().collect());
    }
    faults
}

/// As GitHub names a heading's anchor.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// The relative links of a page that lead nowhere, each with why.
fn dead_links(page: &Path, text: &str) -> Vec<String> {
    let folder = page.parent().unwrap_or(page);
    let whole: Vec<Section> = sections(text);
    let links = whole.iter().flat_map(|section| between(&section.prose, "](", ")"));
    let why = |link: &str| {
        let (file, wanted) = link.split_once('#').unwrap_or((link, ""));
        let target = if file.is_empty() { page.to_owned() } else { folder.join(file) };
        if !target.exists() {
            return Some("there is no such file");
        }
        let other = fs::read_to_string(&target).unwrap_or_default();
        let is_there = wanted.is_empty()
            || sections(&other).iter().any(|section| anchor(&section.heading) == wanted);
        (!is_there).then_some("the page has no such heading")
    };
    let relative = links.filter(|link| !link.contains("://"));
    relative
        .filter_map(|link| Some(format!("{}: {link}: {}", page.display(), why(link)?)))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut places, mut faults, mut pages) = (vec![root.to_owned()], Vec::new(), 0);
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(&place).expect("a folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_ours = !name.starts_with('.') && name != "target" && name != "node_modules";
            if path.is_dir() && is_ours {
                places.push(path);
            } else if name.ends_with(".md") {
                pages += 1;
                faults.extend(dead_links(&path, &fs::read_to_string(&path).unwrap_or_default()));
            }
        }
    }
    assert!(pages > 20, "only {pages} pages were found");
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn anchors_are_githubs() {
    let check = |heading, expected| assert_eq!(anchor(heading), expected, "{heading}");
    check("## The first ten minutes (Kubernetes)", "the-first-ten-minutes-kubernetes");
    check("# `x`, y-z", "x-y-z");
    check("## 指标", "指标");
}

#[test]
fn the_readme_in_chinese_says_what_the_one_in_english_says() {
    let read =
        |file| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file);
    let faults = differences(&read("README.md"), &read("README.zh.md"));
    assert!(
        faults.is_empty(),
        "README.zh.md is not in step with README.md:\n{}\n",
        faults.join("\n")
    );
}

#[test]
fn differences_are_told_with_their_place() {
    let english = "# A\nSee `x` and [y](z.md), 1.5 times.\n```sh\nrun\n```\n";
    let check = |chinese: &str, expected: &[&str]| {
        let faults = differences(english, chinese);
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, part) in faults.iter().zip(expected) {
            assert!(fault.contains(part), "{fault}");
        }
    };
    check("# 甲\n见 `x` 与[乙](z.md)，1.5 倍。\n```sh\nrun\n```\n", &[]);
    check("# 甲\n见 `x` 与[乙](z.md)，1.5 倍，共 2 个。\n```sh\nrun\n```\n", &[]);
    check(
        "# 甲\n见 `w` 与[乙](z.md)，1.5 倍。\n```sh\nrun\n```\n",
        &["bring over [\"x\"], take out [\"w\"]"],
    );
    check(
        "# 甲\n见 `x` 与[乙](q.md)，1.6 倍。\n",
        &["block over", "links", "figures: bring over [\"1.5\"]"],
    );
    check("# 甲\n## 乙\n", &["not as many headings"]);
}
