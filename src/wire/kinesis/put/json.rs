//! Owns where a put's members stand in AWS JSON. Refuses what the operation's shape is not.

use super::members::{Members, Record};
use super::{BodyFault, KeyForm, PutBody, Shape};
use crate::domain::json::{Fault, Scanner, Text};
use std::borrow::Cow;

pub(super) fn locate(body: &[u8]) -> Result<PutBody, BodyFault> {
    let mut members = Members::default();
    let mut scanner = Scanner::new(body);
    scanner.object(|scanner, key| {
        if key.is(body, "StreamName") {
            members.stream_name(text(body, scanner)?.as_deref());
        } else if key.is(body, "StreamARN") {
            members.stream_arn(text(body, scanner)?.as_deref());
        } else if key.is(body, "StreamId") {
            members.stream_id(text(body, scanner)?.as_deref());
        } else if key.is(body, "DryRun") {
            members.dry_run(body.get(scanner.value()?) == Some(b"true"));
        } else if key.is(body, "Records") {
            members.records();
            scanner.array(|scanner| {
                let mut record = Record::default();
                scanner.object(|scanner, key| member(body, scanner, &key, &mut record))?;
                members.record(record);
                Ok(())
            })?;
        } else {
            member(body, scanner, &key, &mut members.single)?;
        }
        Ok(())
    })?;
    scanner.end()?;
    members.finish()
}

/// Reads a record's member.
fn member(
    body: &[u8],
    scanner: &mut Scanner<'_>,
    key: &Text,
    record: &mut Record,
) -> Result<(), Fault> {
    if key.is(body, "Data") {
        record.data(unless_null(scanner, Scanner::base64_text)?.map(|text| {
            let shape = if text.escaped { Shape::Escaped } else { Shape::Base64 };
            (shape, text.inner.start, text.inner)
        }));
    } else if key.is(body, "PartitionKey") {
        let key = unless_null(scanner, Scanner::text)?;
        let at = key.as_ref().map(|key| key.inner.clone()).unwrap_or_default();
        let escaped = key.as_ref().is_some_and(|key| key.escaped);
        let form = if escaped { KeyForm::Escaped } else { KeyForm::Plain };
        let bytes = match key {
            // Escapes only shorten: what cannot be unescaped is counted on the safe side.
            Some(key) if key.escaped => {
                key.unescaped(body).map_or(key.inner.len(), |text| text.len())
            }
            Some(key) => key.inner.len(),
            None => 0,
        };
        record.partition_key(bytes, at, form);
    } else if key.is(body, "ExplicitHashKey") && scanner.peek() == Some(b'"') {
        record.explicit_hash_key(scanner.text()?.inner);
    } else {
        scanner.value()?;
    }
    Ok(())
}

fn text<'a>(body: &'a [u8], scanner: &mut Scanner<'_>) -> Result<Option<Cow<'a, str>>, Fault> {
    Ok(unless_null(scanner, Scanner::text)?.and_then(|text| text.unescaped(body)))
}

/// A member that is `null` is as one that is not there.
fn unless_null<'a>(
    scanner: &mut Scanner<'a>,
    read: impl FnOnce(&mut Scanner<'a>) -> Result<Text, Fault>,
) -> Result<Option<Text>, Fault> {
    if scanner.peek() == Some(b'n') {
        return scanner.value().map(|_| None);
    }
    read(scanner).map(Some)
}
