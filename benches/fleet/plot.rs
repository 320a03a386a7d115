//! The figure: refreshes a second and memory over the size of the fleet, both scales logarithmic.

use std::fmt::Write;

use crate::{
    Measured,
    cases::{KEPT, LIFTED},
    table::count,
};

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 30.0;
const APART: f64 = 72.0;
/// One to ten thousand secrets.
const SIZES: [u32; 5] = [1, 10, 100, 1_000, 10_000];

/// Legible on white and on black.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#7d8590}.h{font-weight:600}.g{stroke:#7d8590;stroke-opacity:.3}\
    .a{stroke:#2f6fbb;fill:#2f6fbb}.b{stroke:#d08a2b;fill:#d08a2b}polyline{fill:none!important;stroke-width:2}";

/// The curves of one quantity.
struct Panel {
    heading: &'static str,
    /// The scale goes from ten to the power of this one to that one.
    decades: [i32; 2],
    value: fn(&Measured) -> f64,
}

const PANELS: [Panel; 2] = [
    Panel { heading: "Refreshes a second", decades: [-1, 3], value: Measured::refreshes_a_second },
    Panel { heading: "Peak memory, MB", decades: [0, 2], value: Measured::peak_mb },
];

pub fn svg(all: &[Measured]) -> String {
    let mut body = String::new();
    for (panel, left) in PANELS.iter().zip([LEFT, LEFT + WIDTH + APART]) {
        panel.draw(&mut body, all, left);
    }
    let (width, y) = (LEFT + WIDTH + APART + WIDTH + 20.0, TOP + HEIGHT + 44.0);
    for (class, name, x) in [("a", LIFTED, LEFT), ("b", KEPT, LEFT + 120.0)] {
        let _ = write!(body, r#"<circle class="{class}" cx="{x}" cy="{}" r="4"/>"#, y - 4.0);
        let _ = write!(body, r#"<text x="{}" y="{y}">{name}</text>"#, x + 10.0);
    }
    let height = y + 10.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"What a fleet costs\">\
         <style>{STYLE}</style>\n{body}\n</svg>\n"
    )
}

impl Panel {
    fn draw(&self, body: &mut String, all: &[Measured], left: f64) {
        let _ = writeln!(body, r#"<text class="h" x="{left}" y="16">{}</text>"#, self.heading);
        self.grid(body, left);
        for (class, name) in [("a", LIFTED), ("b", KEPT)] {
            let of = all.iter().filter(|measured| measured.case.name == name);
            let points: Vec<(f64, f64)> =
                of.map(|measured| (left + x(count(measured.case.secrets)), self.y((self.value)(measured)))).collect();
            let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(body, r#"<polyline class="{class}" points="{}"/>"#, line.join(" "));
            for (x, y) in points {
                let _ = writeln!(body, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3"/>"#);
            }
        }
    }

    fn grid(&self, body: &mut String, left: f64) {
        for decade in self.decades[0]..=self.decades[1] {
            let value = 10_f64.powi(decade);
            let (y, right) = (self.y(value), left + WIDTH);
            let _ = write!(body, r#"<line class="g" x1="{left}" y1="{y:.1}" x2="{right}" y2="{y:.1}"/>"#);
            let _ = writeln!(body, r#"<text x="{}" y="{:.1}" text-anchor="end">{value}</text>"#, left - 6.0, y + 4.0);
        }
        for size in SIZES {
            let (x, y) = (left + x(f64::from(size)), TOP + HEIGHT + 18.0);
            let _ = writeln!(body, r#"<text x="{x:.1}" y="{y}" text-anchor="middle">{size}</text>"#);
        }
    }

    fn y(&self, value: f64) -> f64 {
        let [low, high] = self.decades.map(f64::from);
        TOP + HEIGHT - (value.max(f64::MIN_POSITIVE).log10().clamp(low, high) - low) / (high - low) * HEIGHT
    }
}

fn x(secrets: f64) -> f64 {
    secrets.log10() / 4.0 * WIDTH
}
