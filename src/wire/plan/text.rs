//! Owns a plan as lines of text. Refuses colours and widths of terminals: it goes into files too.

use crate::domain::plan::{Bill, Choice, HOURS_PER_MONTH, Mode, Plan, Prices, dollars, number};
use std::fmt::Write;

/// The plan for a person; `explain` adds each figure's formula.
#[must_use]
pub fn text(plan: &Plan, prices: &Prices, explain: bool) -> String {
    let mut lines = Vec::new();
    head(&mut lines, plan, explain);
    lines.push(format!("\n{:58} {:>12}", "A month costs", "dollars"));
    list(&mut lines, plan, &plan.choices, explain);
    if let Ok((aggregated, choices)) = &plan.aggregation
        && plan.saved_by_aggregation().is_some_and(|saved| saved > 0.0)
    {
        let title = format!("With KPL aggregation, {} records in one", aggregated.records);
        lines.push(format!("\n{title}"));
        list(&mut lines, plan, choices, explain);
    }
    lines.push("\nWatching it in CloudWatch".to_owned());
    bill(&mut lines, &plan.watching, explain);
    if let Some(cheapest) = plan.cheapest() {
        let words = name(cheapest, plan.committed);
        lines.push(format!("\nCheapest as asked: {words}."));
    }
    if !plan.advice.is_empty() {
        lines.push("\nWorth knowing".to_owned());
        lines.extend(plan.advice.iter().map(|advice| format!("- {}", advice.words)));
    }
    let unchecked = match prices.to_be_checked.len() {
        0 => String::new(),
        count => format!(" {count} of them are to be checked: --print-prices says which."),
    };
    lines.push(format!(
        "\nPrices: {}, {}, {}.{unchecked} A month is {HOURS_PER_MONTH} hours, a GB 2^30 bytes. Your own: --prices \
         FILE, --price NAME=DOLLARS, --print-prices. Not counted: data transfer, encryption keys, \
         taxes, discounts, what readers and producers cost to run. Whether a stream is encrypted, and \
         how evenly its keys fall, is not known here.",
        prices.region, prices.source, prices.date
    ));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn head(lines: &mut Vec<String>, plan: &Plan, explain: bool) {
    let traffic = &plan.traffic;
    let mut said = format!(
        "{} records a second of {} bytes",
        number(traffic.records_per_second),
        number(f64::from(traffic.record_bytes))
    );
    if traffic.peak_records_per_second > traffic.records_per_second {
        let peak = number(traffic.peak_records_per_second);
        let _never_fails = write!(said, ", {peak} records a second at the peak");
    }
    let _never_fails = write!(
        said,
        "; {} with shared reads, {} with fan-out; kept {} hours",
        consumers(traffic.consumers),
        consumers(traffic.fan_out_consumers),
        traffic.hours_retained
    );
    lines.push(said);
    lines.push(format!("{} needed, provisioned", shards(plan.shards.needed)));
    for need in &plan.shards.needs {
        let why = if explain { format!("  {}", need.formula) } else { String::new() };
        lines.push(format!("  {:14} {:>6}{why}", need.limit.words(), need.shards));
    }
}

fn list(lines: &mut Vec<String>, plan: &Plan, choices: &[Choice], explain: bool) {
    for choice in choices {
        let cost = match (choice.impossible, choice.bill.total()) {
            (Some(_), _) => "-".to_owned(),
            (None, total) => total.map_or_else(|| "not known".to_owned(), dollars),
        };
        lines.push(format!("  {:56} {cost:>12}", name(choice, plan.committed)));
        if let Some(why) = choice.impossible {
            lines.push(format!("    not possible: {why}"));
        } else if explain {
            bill(lines, &choice.bill, true);
        }
    }
}

fn bill(lines: &mut Vec<String>, bill: &Bill, explain: bool) {
    for line in &bill.lines {
        let cost = line.dollars.map_or_else(|| "not known".to_owned(), dollars);
        let shown = if explain {
            format!("    {:54} {cost:>12}", line.what)
        } else {
            format!("  {:56} {cost:>12}", line.what)
        };
        lines.push(shown);
        if explain {
            lines.push(format!("      {}", line.formula));
        }
    }
}

/// A way to have the stream, in words.
#[must_use]
pub fn name(choice: &Choice, committed: bool) -> String {
    let mut words = choice.mode.words().to_owned();
    if choice.mode == Mode::Advantage && !committed {
        words.push_str(", as the account's only stream");
    }
    if let Some(needed) = &choice.shards {
        let _never_fails = write!(words, ", {}", shards(needed.needed));
    }
    if !choice.as_asked {
        words.push_str(if choice.fan_out_consumers == 0 {
            ", no fan-out"
        } else {
            ", fan-out for all"
        });
    }
    words
}

/// So many shards, in words.
#[must_use]
pub fn shards(count: u64) -> String {
    if count == 1 { "1 shard".to_owned() } else { format!("{count} shards") }
}

fn consumers(count: u32) -> String {
    if count == 1 { "1 consumer".to_owned() } else { format!("{count} consumers") }
}
