//! Owns how `leases` and `hub.standby` are read. Refuses to open a table.

use super::Role;
use super::limits::positive;
use super::walk::Spot;
use crate::io::leases::Table;
use std::time::Duration;

/// 5 s: KCL renews a lease every 3 s and gives a dead worker's away after 10 s.
const INTERVAL: Duration = Duration::from_secs(5);
/// 10 read units a second: 1000 leases every 6 s; on demand, 3 dollars a month.
const UNITS_PER_SECOND: usize = 10;

/// The tables to watch; none in a sidecar.
pub(super) fn leases(spot: &Spot<'_>, role: Role, warnings: &mut Vec<String>) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for item in spot.items().unwrap_or_default() {
        let table = table(&item);
        if tables.iter().any(|it| (&it.table, &it.stream) == (&table.table, &table.stream)) {
            item.fault("has the table and stream of an earlier one; keep one of them");
        }
        tables.push(table);
    }
    match role {
        Role::Hub | Role::All => tables,
        Role::Sidecar if tables.is_empty() => tables,
        Role::Sidecar => {
            warnings.push("leases are watched by the hub: this process is a sidecar".to_owned());
            Vec::new()
        }
    }
}

fn table(spot: &Spot<'_>) -> Table {
    let mut table = spot.table();
    let application_spot = table.key("application");
    let application: String = application_spot.or(String::new());
    if spot.is_map() && application.is_empty() {
        spot.fault("should have an `application`");
    }
    let table_spot = table.key("table");
    let name = table_spot.maybe().unwrap_or_else(|| application.clone());
    if !application.is_empty() && !is_table_name(&name) {
        let at = if table_spot.given() { &table_spot } else { &application_spot };
        at.fault("should be a DynamoDB table's name: 3 to 255 letters, digits, `_`, `-` and `.`");
    }
    let consumer: String = table.key("consumer").maybe().unwrap_or_else(|| application.clone());
    let read = Table {
        stream: table.key("stream").maybe().map(|stream: String| stream.as_str().into()),
        consumer: consumer.as_str().into(),
        interval: positive(&table.key("interval"), INTERVAL),
        units_per_second: u32::try_from(table.key("read_units_per_second").or(UNITS_PER_SECOND))
            .unwrap_or(u32::MAX),
        application,
        table: name,
    };
    table.done();
    read
}

fn is_table_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (3..=255).contains(&name.len()) && name.bytes().all(plain)
}

/// The table whose lease says which of several hubs works.
pub(super) fn standby(spot: &Spot<'_>, role: Role, warnings: &mut Vec<String>) -> Option<String> {
    let name: String = spot.maybe()?;
    if !is_table_name(&name) {
        spot.fault("should be a DynamoDB table's name: 3 to 255 letters, digits, `_`, `-` and `.`");
    }
    match role {
        Role::Hub | Role::All => Some(name),
        Role::Sidecar => {
            warnings.push("hub.standby is for hubs: this process is a sidecar".to_owned());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, good};
    use super::*;

    #[test]
    fn what_is_left_out_follows_from_the_application() {
        let config = good("role: hub\nleases: [{ application: mail, stream: orders }]\n", &[]);
        let expected = Table {
            application: "mail".to_owned(),
            table: "mail".to_owned(),
            stream: Some("orders".into()),
            consumer: "mail".into(),
            interval: INTERVAL,
            units_per_second: 10,
        };
        assert_eq!(config.leases.first(), Some(&expected));
        let config = good(
            "role: all\nleases: [{ application: mail, table: mail-leases, consumer: mailer, \
             interval: 1s, read_units_per_second: 50 }]\n",
            &[],
        );
        let given = Table {
            table: "mail-leases".to_owned(),
            stream: None,
            consumer: "mailer".into(),
            interval: Duration::from_secs(1),
            units_per_second: 50,
            ..expected
        };
        assert_eq!(config.leases, [given]);
    }

    #[test]
    fn a_sidecar_watches_none_and_says_so() {
        let config = good("leases: [{ application: mail, stream: orders }]\n", &[]);
        assert!(config.leases.is_empty());
        assert!(config.warnings.iter().any(|it| it.contains("leases")), "{:?}", config.warnings);
    }

    #[test]
    fn faults_have_their_places() {
        check(
            "role: hub\nleases:\n  - { stream: orders }\n  - { application: a/b }\n  \
             - { application: mail, tabel: x }\n  - { application: mail }\n  \
             - { application: mail, interval: 0s }\n",
            &[],
            &[
                "3:5: leases[0]: should have an `application`",
                "4:20: leases[1].application: should be a DynamoDB table's name: 3 to 255 \
                 letters, digits, `_`, `-` and `.`",
                "5:26: leases[2].tabel: unknown key; did you mean `table`?",
                "6:5: leases[3]: has the table and stream of an earlier one; keep one of them",
                "7:5: leases[4]: has the table and stream of an earlier one; keep one of them",
                "7:36: leases[4].interval: should be longer than nothing",
            ],
        );
        check(
            "cloudwatch: { streams: { tags: { team: [a] } } }\n",
            &[],
            &["1:40: cloudwatch.streams.tags.team: should be text (a number or true/false is put \
               in quotes to be text)"],
        );
    }

    #[test]
    fn a_standby_is_a_hub() {
        let standby = |text: &str| good(text, &[]).hub_standby;
        assert_eq!(standby("role: hub\nhub: { standby: hubs }\n").as_deref(), Some("hubs"));
        assert_eq!(standby("hub: { standby: hubs }\n"), None);
        check(
            "role: hub\nhub: { standby: a }\n",
            &[],
            &[
                "2:17: hub.standby: should be a DynamoDB table's name: 3 to 255 letters, digits, `_`, \
               `-` and `.`",
            ],
        );
    }
}
