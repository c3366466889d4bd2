//! Throughput over concurrency or backlog, as a picture that any browser shows.

use std::fmt::Write;

use serde_json::Value;

/// Width and height in pixels,
const SIZE: (f64, f64) = (720.0, 420.0);
/// and what the scales take of them.
const MARGIN: f64 = 64.0;
/// One for each line, distinguishable without telling red from green.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

/// One line: its name and its points.
struct Line {
    name: String,
    points: Vec<Mark>,
}

/// Where a point lies, with its spread over the runs.
struct Mark {
    at: f64,
    least: f64,
    middle: f64,
    most: f64,
}

/// A picture of these reports, one line each: over the backlog where any point has one, else over concurrency.
///
/// # Errors
/// When a report is none.
pub fn draw(reports: &[Value]) -> Result<String, String> {
    let points = reports.iter().filter_map(|report| report["points"].as_array()).flatten();
    let over = if points.clone().any(|point| point["backlog"] != 0) { "backlog" } else { "concurrency" };
    let lines: Vec<Line> = reports
        .iter()
        .map(|report| Line::read(report, over))
        .collect::<Option<_>>()
        .ok_or("a report has scenario, database and points with a summary of workflows_per_s")?;
    Ok(picture(&lines, over))
}

impl Line {
    fn read(report: &Value, over: &str) -> Option<Self> {
        let name = format!("{} on {}", report["scenario"].as_str()?, report["database"].as_str()?);
        let mark = |point: &Value| {
            let spread = &point["summary"]["workflows_per_s"];
            let read = |name: &str| spread[name].as_f64();
            Some(Mark {
                at: point[over].as_f64()?,
                least: read("min")?,
                middle: read("median")?,
                most: read("max")?,
            })
        };
        let points = report["points"].as_array()?.iter().map(mark).collect::<Option<_>>()?;
        Some(Line { name, points })
    }
}

fn picture(lines: &[Line], over: &str) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let (across, up) =
        (all().map(|mark| mark.at).fold(1.0, f64::max), all().map(|mark| mark.most).fold(1.0, f64::max));
    let (width, height) = (SIZE.0 - 2.0 * MARGIN, SIZE.1 - 2.0 * MARGIN);
    // Loads double and grow tenfold: each doubling takes as much of the scale as the one before.
    let x = |at: f64| MARGIN + width * at.ln_1p() / across.ln_1p();
    let y = |value: f64| SIZE.1 - MARGIN - height * value / up;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        SIZE.0, SIZE.1
    );
    // Writing to a string cannot fail.
    for quarter in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (value, at) = (up * quarter, y(up * quarter));
        let _ = writeln!(
            svg,
            "<line x1=\"{MARGIN}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>",
            SIZE.0 - MARGIN
        );
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
            MARGIN - 6.0,
            at + 4.0
        );
    }
    let mut ticks: Vec<f64> = all().map(|mark| mark.at).collect();
    ticks.sort_unstable_by(f64::total_cmp);
    ticks.dedup();
    for tick in ticks {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
            x(tick),
            SIZE.1 - MARGIN + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{over}</text>",
        SIZE.0 / 2.0,
        SIZE.1 - 16.0
    );
    let _ = writeln!(
        svg,
        "<text x=\"{MARGIN}\" y=\"24\">workflows/s: median, with the least and most of the runs</text>"
    );
    for ((line, colour), row) in lines.iter().zip(COLOURS.iter().cycle()).zip(0_u32..) {
        let path: Vec<String> =
            line.points.iter().map(|mark| format!("{:.1},{:.1}", x(mark.at), y(mark.middle))).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            path.join(" ")
        );
        for mark in &line.points {
            let at = x(mark.at);
            let (top, bottom) = (y(mark.most), y(mark.least));
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" stroke=\"{colour}\"/>"
            );
            let _ = writeln!(
                svg,
                "<circle cx=\"{at:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                y(mark.middle)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{}</text>",
            MARGIN + 12.0,
            44 + 16 * row,
            line.name
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_becomes_a_line_over_what_differs() {
        let point = |concurrency: u32, backlog: u32| {
            json!({ "concurrency": concurrency, "backlog": backlog,
                    "summary": { "workflows_per_s": { "min": 1.0, "median": 2.0, "max": 3.0 } } })
        };
        let report =
            |points: Vec<Value>| json!({ "scenario": "saga", "database": "sqlite", "points": points });
        let drawn = draw(&[report(vec![point(1, 0), point(64, 0)])]).unwrap();
        assert!(
            drawn.contains(">concurrency<") && drawn.contains(">64<") && drawn.contains("saga on sqlite")
        );
        assert!(draw(&[report(vec![point(64, 0), point(64, 100)])]).unwrap().contains(">backlog<"));
        assert!(draw(&[json!({})]).is_err());
    }
}
