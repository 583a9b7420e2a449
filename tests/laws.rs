//! Owns the laws of whole requests, end to end through every wire form: a put in each client's
//! style gets the same verdicts and payloads and is changed nowhere else, and what a reader gets
//! with `deliver: strip` is what the producer sent. `PROPTEST_CASES` sets how many are tried.

#[cfg(test)]
#[path = "../fuzz/targets/mod.rs"]
#[expect(unreachable_pub, reason = "the root of the fuzz crate, which gives the targets out")]
mod targets;

#[cfg(test)]
mod laws {
    use super::targets::clients::{STYLES, Sent, Style, answer, event};
    use super::targets::put::{Prepared, prepare};
    use super::targets::{ALL, aggregate::framed};
    use bytes::Bytes;
    use kinescope::domain::envelope::aggregate::Aggregated;
    use kinescope::domain::envelope::unsplice;
    use kinescope::wire::kinesis::form::WireForm;
    use kinescope::wire::kinesis::put::{RecordVerdict as Verdict, SizeLaw};
    use kinescope::wire::kinesis::strip;
    use kinescope::wire::kinesis::subscribe::{Decoded, Framer, decode, strip as strip_message};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use std::io::Write;

    const OTHERS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    /// A JSON value with what a re-encoding would lose: white space, escapes, odd numbers.
    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("1e400".to_owned()),
            Just("-0.10".to_owned()),
            Just("null".to_owned()),
            Just("{}".to_owned()),
            Just(format!("{{\"traceparent\":\"{OTHERS}\"}}")),
            Just("\"\\/\\u00e9\\ud83d\\ude00\\\"\"".to_owned()),
            "\"[a-zé?>~ ]{0,30}\"",
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..3).prop_map(|items| format!("[ {} ]", items.join(" ,"))),
                inner.prop_map(|value| format!("{{\"traceparent\" : {value}}}")),
            ]
        })
    }

    /// One object; some have context of their own, at either end, or one that is none.
    fn object() -> impl Strategy<Value = String> {
        let context = prop_oneof![
            8 => Just(String::new()),
            1 => Just(format!("\"traceparent\":\"{OTHERS}\"")),
            1 => Just(format!("\"tracestate\":\"a=1\",\"traceparent\":\"{OTHERS}\"")),
            1 => Just("\"traceparent\":\"\"".to_owned()),
            1 => Just("\"_datadog\":{\"x-datadog-trace-id\":\"1\",\"x-datadog-parent-id\":\"2\"}".to_owned()),
            1 => Just("\"a\":1,\"a\":2".to_owned()),
        ];
        let kind = prop_oneof![
            Just(""),
            Just("\"eventId\":\"1\",\"eventType\":\"A\""),
            Just("\"commandType\":\"A\""),
            Just("\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\""),
        ];
        (context, kind, vec(value(), 0..4), any::<bool>(), "[ \t]{0,2}").prop_map(
            |(context, kind, values, last, space)| {
                let member = |(at, value): (usize, &String)| format!("\"k{at}\"{space}:{value}");
                let mut members: Vec<String> = values.iter().enumerate().map(member).collect();
                members.insert(0, kind.to_owned());
                members.insert(if last { members.len() } else { 0 }, context);
                members.retain(|member| !member.is_empty());
                format!("{space}{{{space}{}}}{space}", members.join(","))
            },
        )
    }

    /// Over the size from which only the ends are looked at.
    fn large() -> impl Strategy<Value = Vec<u8>> {
        (0_usize..3, 64_usize << 10..70_000, object(), any::<bool>()).prop_map(
            |(kind, bytes, object, lines)| {
                let long = "x".repeat(bytes);
                let text = match kind {
                    0 => format!("{{\"long\":\"{long}\"}}"),
                    1 => format!("[\"{long}\"]"),
                    _ => format!(
                        "{}\"long\":\"{long}\"}}",
                        object.trim().replace('}', "").replace(',', " ,")
                    ),
                };
                if lines { format!("{text}\n{object}\n") } else { text }.into_bytes()
            },
        )
    }

    fn varint(mut number: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while number > 127 {
            out.push(number as u8 | 128);
            number >>= 7;
        }
        out.push(number as u8);
        out
    }

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2][..], &varint(bytes.len()), bytes].concat()
    }

    /// A KPL aggregate; some user records have tags, a hash key or no JSON.
    fn aggregate() -> impl Strategy<Value = Vec<u8>> {
        let data = prop_oneof![
            4 => object().prop_map(String::into_bytes),
            2 => "[a-z]{300,900}".prop_map(|text| format!("{{\"long\":\"{text}\"}}").into_bytes()),
            1 => vec(any::<u8>(), 0..20),
        ];
        let tag = prop_oneof![
            Just(("team", "orders")),
            Just(("traceparent", OTHERS)),
            Just(("traceparent", ""))
        ];
        let record = (data, option::weighted(0.2, tag), any::<bool>());
        vec(record, 1..5).prop_map(|records| {
            let mut message =
                [field(1, b"key"), field(2, b"170141183460469231731687303715884105727")].concat();
            for (data, tag, hashed) in records {
                let mut body = vec![1 << 3, 0];
                if hashed {
                    body.extend([2 << 3, 0]);
                }
                body.extend(field(3, &data));
                if let Some((key, value)) = tag {
                    body.extend(field(
                        4,
                        &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat(),
                    ));
                }
                message.extend(field(3, &body));
            }
            framed(&message)
        })
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn payload() -> impl Strategy<Value = Vec<u8>> {
        let mark = prop_oneof![3 => Just(""), 1 => Just("\u{feff}")];
        let lines = (vec(object(), 1..5), any::<bool>());
        prop_oneof![
            8 => (mark, object()).prop_map(|(mark, object)| format!("{mark}{object}").into_bytes()),
            3 => lines.prop_map(|(lines, end)| (lines.join("\r\n") + if end { "\n" } else { "" }).into_bytes()),
            3 => aggregate(),
            1 => object().prop_map(|text| gzip(&text)),
            1 => value().prop_map(String::into_bytes),
            1 => large(),
            2 => vec(any::<u8>(), 0..60),
            1 => Just(Vec::new()),
        ]
    }

    fn put() -> impl Strategy<Value = Vec<Sent>> {
        let key = "[a-z0-9/\"é\\\\]{0,9}";
        let sent = (key, payload()).prop_map(|(key, payload)| Sent { key, payload });
        (vec(sent, 1..6), any::<bool>()).prop_map(|(mut sent, twice)| {
            if twice {
                sent.extend(sent.first().cloned());
            }
            sent
        })
    }

    fn law() -> impl Strategy<Value = SizeLaw> {
        let tight =
            (0_usize..1_500, 0_usize..4_000).prop_map(|(record_bytes_max, request_bytes_max)| {
                SizeLaw { record_bytes_max, request_bytes_max }
            });
        prop_oneof![2 => Just(SizeLaw::default()), 1 => tight]
    }

    fn aggregated() -> impl Strategy<Value = Aggregated> {
        prop_oneof![Just(Aggregated::Tags), Just(Aggregated::Json), Just(Aggregated::Off)]
    }

    fn with(sent: &[Sent], payloads: &[Vec<u8>]) -> Vec<Sent> {
        let anew = |(sent, payload): (&Sent, &Vec<u8>)| Sent {
            key: sent.key.clone(),
            payload: payload.clone(),
        };
        sent.iter().zip(payloads).map(anew).collect()
    }

    /// A quarter of what proptest tries where nobody says how many: a case is a whole request, ten
    /// times over.
    fn cases() -> ProptestConfig {
        let default = ProptestConfig::default();
        let cases = if default.cases == 256 { 64 } else { default.cases };
        ProptestConfig { cases, max_shrink_iters: 4_096, ..default }
    }

    fn after(prepared: &Prepared) -> Vec<Vec<u8>> {
        prepared.after.iter().flatten().cloned().collect()
    }

    proptest! {
        #![proptest_config(cases())]

        /// `prepare` asserts the rest: transparent, within the laws, at most once.
        #[test]
        fn every_client_is_served_alike(sent in put(), law in law(), mode in aggregated(), single in any::<bool>()) {
            let mut first = None;
            for style in STYLES {
                let body = style.put(&sent, single);
                let seen = prepare(style.form(), &body, law, mode);
                prop_assert!(seen.is_some(), "{:?} is not understood", style);
                let Some(seen) = seen else { continue };
                let payloads = after(&seen);
                // Written by that client with the new payloads, it is the body that we send; only
                // the escapes of a record that changed are gone.
                let anew = style.put(&with(&sent, &payloads), single);
                if style == Style::Php {
                    let read = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).ok();
                    prop_assert_eq!(read(&seen.body), read(&anew));
                } else {
                    prop_assert!(seen.body == anew, "{:?}: something else moved", style);
                }
                let record_bytes = |sent: &Sent, payload: &Vec<u8>| sent.key.len() + payload.len();
                for ((sent, payload), verdict) in sent.iter().zip(&payloads).zip(&seen.verdicts) {
                    let bytes = record_bytes(sent, payload);
                    prop_assert!(*verdict != Verdict::Injected || bytes <= law.record_bytes_max);
                }
                let all: usize = sent.iter().zip(&payloads).map(|(sent, payload)| record_bytes(sent, payload)).sum();
                prop_assert!(seen.injected_bytes == 0 || all <= law.request_bytes_max);
                let seen = (seen.verdicts, seen.injected_bytes, payloads);
                prop_assert_eq!(first.get_or_insert_with(|| seen.clone()), &seen, "{:?} differs", style);
            }
        }

        /// What was put through the proxy and is read through it is what the producer sent.
        #[test]
        fn a_stripped_answer_is_the_producers(sent in put(), mode in aggregated(), cuts in vec(any::<prop::sample::Index>(), 0..6)) {
            let body = Style::Java.put(&sent, false);
            let prepared = prepare(WireForm::Cbor, &body, SizeLaw::default(), mode).unwrap();
            let delivered = after(&prepared);
            // A producer may itself have sent what a sidecar before us spliced.
            let originals: Vec<Vec<u8>> = delivered.iter().map(|payload| unsplice(payload).into_owned()).collect();
            for (sent, (original, verdict)) in sent.iter().zip(originals.iter().zip(&prepared.verdicts)) {
                prop_assert!(*verdict != Verdict::Injected || *original == sent.payload);
            }
            for form in [WireForm::Json, WireForm::Cbor] {
                let stripped = strip::records(form, &answer(form, &delivered));
                let expected = (originals != delivered).then(|| answer(form, &originals));
                prop_assert_eq!(stripped.map(|stripped| stripped.to_bytes()), expected);
            }
            let (with, without) = (event(&delivered), event(&originals));
            let mut framer = Framer::default();
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(with.len())).chain([with.len()]).collect();
            ends.sort_unstable();
            let mut from = 0;
            let mut messages = Vec::new();
            for end in ends {
                messages.extend(framer.push(&with.slice(from..end)));
                from = end;
            }
            prop_assert_eq!(messages.len(), 1);
            let told = decode(&messages[0]);
            prop_assert!(matches!(&told, Ok(Decoded::Event(event)) if event.records.len() == sent.len()));
            let expected = (originals != delivered).then_some(without);
            prop_assert_eq!(strip_message(&messages[0]), expected);
        }

        /// Bytes of one target's kind, and cut or damaged bodies, into every target.
        #[test]
        fn no_target_is_broken_by_a_request(sent in put(), style in 0..STYLES.len(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let small: Vec<Sent> = sent.into_iter().filter(|sent| sent.payload.len() < 4_000).collect();
            let mut body = STYLES[style].put(&small, false);
            let at = at.index(body.len());
            body[at] = byte;
            body.truncate(if cut { at } else { body.len() });
            for (name, target) in ALL.iter().filter(|(name, _)| *name != "journal") {
                prop_assert!(std::panic::catch_unwind(|| target(&body)).is_ok(), "{}", name);
            }
        }
    }

    /// That the generator reaches what the laws are about: without it they could hold of nothing.
    #[test]
    fn the_generator_reaches_every_verdict() {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::TestRunner;
        use std::collections::BTreeSet;
        let (mut runner, mut seen) = (TestRunner::deterministic(), BTreeSet::new());
        let tight = SizeLaw { record_bytes_max: 600, request_bytes_max: 900 };
        for _ in 0..200 {
            let sent = put().new_tree(&mut runner).unwrap().current();
            for (law, mode) in [(SizeLaw::default(), Aggregated::Tags), (tight, Aggregated::Off)] {
                let body: Bytes = Style::Boto3.put(&sent, false).into();
                let prepared = prepare(WireForm::Json, &body, law, mode).unwrap();
                seen.extend(prepared.verdicts.iter().map(Verdict::as_str));
            }
        }
        for verdict in [
            "injected",
            "empty",
            "not_json",
            "not_object",
            "duplicate_keys",
            "context_present",
            "context_invalid",
            "datadog",
            "gzip",
            "aggregate_off",
            "record_too_large",
            "request_too_large",
        ] {
            assert!(seen.contains(verdict), "{verdict} is never reached: {seen:?}");
        }
    }
}
