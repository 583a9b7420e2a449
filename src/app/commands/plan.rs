//! Owns `plan`: arguments and a price file in, a table or JSON out. Refuses arithmetic, which is
//! `domain::plan`'s, and a price that nobody gave.

use super::{USAGE, complain, say};
use crate::domain::plan::{Commitment, Fault, Plan, Price, Prices, Traffic};
use crate::wire::plan::{json, read, text, write};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Larger files are no price lists.
const FILE_BYTES_MAX: u64 = 1 << 20;

const EXAMPLES: &str = "Examples:
  kinescope plan --records-per-second 2000 --record-size-bytes 800
  kinescope plan --records-per-second 500 --peak-records-per-second 9000 --record-size-bytes 2000 \\
      --consumers 3 --fan-out-consumers 1 --hours-retained 168 --explain
  kinescope plan --print-prices > prices.yaml    # fill in another region's
  kinescope plan --records-per-second 2000 --record-size-bytes 800 --prices prices.yaml --json";

/// The traffic, and whose prices.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Records put in a second, on average.
    #[arg(long, value_name = "N", required_unless_present = "print_prices")]
    records_per_second: Option<f64>,
    /// Of one record in bytes, its partition key included.
    #[arg(long, value_name = "N", required_unless_present = "print_prices")]
    record_size_bytes: Option<u32>,
    /// In the busiest second; default: the average.
    #[arg(long, value_name = "N")]
    peak_records_per_second: Option<f64>,
    /// Readers without fan-out: applications that each read everything.
    #[arg(long, value_name = "N", default_value_t = 1)]
    consumers: u32,
    /// Readers with enhanced fan-out.
    #[arg(long, value_name = "N", default_value_t = 0)]
    fan_out_consumers: u32,
    /// How long records are kept: 24 to 8760.
    #[arg(long, value_name = "N", default_value_t = 24)]
    hours_retained: u32,
    /// Processes that put; aggregation happens within each.
    #[arg(long, value_name = "N", default_value_t = 1)]
    producers: u32,
    /// The account has committed itself to on-demand advantage: its minimum is paid anyway.
    #[arg(long)]
    advantage_committed: bool,
    /// The region that the prices must be for; default: that of the prices.
    #[arg(long)]
    region: Option<String>,
    /// Prices in place of the built-in ones of us-east-1.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// One price, such as shard_hour=0.018; may be repeated.
    #[arg(long = "price", value_name = "NAME=DOLLARS", value_parser = read_price)]
    changed: Vec<(Price, f64)>,
    /// Prints the prices as a file for --prices, and ends.
    #[arg(long)]
    print_prices: bool,
    /// Shows how each figure was reckoned.
    #[arg(long)]
    explain: bool,
    /// Prints JSON, with all formulas.
    #[arg(long)]
    json: bool,
}

fn read_price(text: &str) -> Result<(Price, f64), String> {
    let (name, dollars) = text.split_once('=').ok_or("should be NAME=DOLLARS")?;
    let price = Price::named(name).ok_or("there is no such price; --print-prices shows all")?;
    let dollars =
        dollars.parse::<f64>().ok().filter(|dollars| dollars.is_finite() && *dollars >= 0.0);
    Ok((price, dollars.ok_or("should be dollars, from 0 up, after the =")?))
}

/// Prints the plan.
pub(super) fn plan(options: &Options) -> ExitCode {
    match planned(options) {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(faults) => {
            faults.iter().for_each(complain);
            ExitCode::from(USAGE)
        }
    }
}

fn planned(options: &Options) -> Result<String, Vec<String>> {
    let prices = prices(options).map_err(|fault| vec![fault])?;
    if options.print_prices {
        return Ok(write(&prices));
    }
    let rate = options.records_per_second.unwrap_or_default();
    let traffic = Traffic {
        records_per_second: rate,
        peak_records_per_second: options.peak_records_per_second.unwrap_or(rate),
        record_bytes: options.record_size_bytes.unwrap_or_default(),
        consumers: options.consumers,
        fan_out_consumers: options.fan_out_consumers,
        hours_retained: options.hours_retained,
        producers: options.producers,
    };
    let commitment = options.advantage_committed.then_some(Commitment::Enabled);
    let plan = Plan::make(&traffic, &prices, commitment)
        .map_err(|faults| faults.into_iter().map(told).collect::<Vec<_>>())?;
    if options.json {
        return Ok(format!("{:#}", json(&plan, &prices)));
    }
    Ok(text(&plan, &prices, options.explain))
}

/// A fault under its flag's name.
fn told(fault: Fault) -> String {
    format!("--{} {fault}", fault.of().replace(' ', "-"))
}

/// The built-in prices or the file's, then what single flags change.
fn prices(options: &Options) -> Result<Prices, String> {
    let mut prices = match &options.prices {
        None => Prices::us_east_1(),
        Some(file) => {
            from_file(file).map_err(|why| format!("--prices {}: {why}", file.display()))?
        }
    };
    if let Some(region) = options.region.as_deref().filter(|region| *region != prices.region) {
        return Err(format!(
            "--region {region}: the prices are {}'s, and this program knows no others: write \
             {region}'s into a file (--print-prices shows its form) and give it with --prices",
            prices.region
        ));
    }
    if !options.changed.is_empty() {
        prices.source.push_str(", some given by --price");
        options.changed.iter().for_each(|(price, dollars)| prices.give(*price, *dollars));
    }
    Ok(prices)
}

fn from_file(file: &Path) -> Result<Prices, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    if file.metadata().map_err(cannot)?.len() > FILE_BYTES_MAX {
        return Err("is larger than 1 MiB, which no price list is".to_owned());
    }
    let contents = std::fs::read_to_string(file).map_err(cannot)?;
    read(&contents, &format!("prices of {}", file.display())).map_err(|fault| fault.to_string())
}
