"use strict";
// How good the model was, over time and by slice, for the window size that is chosen.
(() => {
    const { label, unit, live, windows } = report.data;
    const WORST = 12;
    const charts = Object.fromEntries(["trend", "estimate", "coverage", "delay"].map((id) => [id, report.chart(id, { chart: {} })]));
    const all = document.getElementById("all-slices");
    let asked = 0;
    let shown = null;

    const trendLines = (rows) => rows.flatMap((row) => {
        const band = (sign) => row.mean.map((mean, n) => (mean === null || row.spread[n] === null ? null : mean + sign * 2 * row.spread[n]));
        const { colour, dash } = report.style(row.version);
        return [
            { version: row.version, name: `${report.short(row.version)}, 30 days before`, time: row.time, value: row.mean, lower: band(-1), upper: band(1), colour: "#8c8c8c", dash: "dotted", width: 1 },
            { version: row.version, name: report.short(row.version), time: row.time, value: row.value, lower: row.lower, upper: row.upper, colour, dash, opacity: 0.35 },
        ];
    });

    const estimateLines = (rows) => rows.flatMap((row) => {
        const { colour } = report.style(row.version);
        return [
            { version: row.version, name: `${report.short(row.version)}, estimated`, time: row.time, value: row.value, lower: row.lower, upper: row.upper, colour, dash: "dashed" },
            { version: row.version, name: `${report.short(row.version)}, realised`, time: row.time, value: row.realised, colour },
        ];
    });

    const plain = (rows, column, scale, name, dash) => rows.map((row) => ({
        version: row.version, name: `${report.short(row.version)}${name}`, time: row.time, value: row[column].map((value) => (value === null ? null : value * scale)),
        ...report.style(row.version), ...(dash ? { dash } : {}),
    }));

    // Slices of one version: of the chosen one, else of the live one.
    const slicesOf = ({ slices }, version, key) => {
        const has = (name) => slices.some((slice) => slice.version === name);
        const chosen = version || (has(live) ? live : slices.length && slices.at(-1).version);
        return slices.filter((slice) => slice.version === chosen && (!key || slice.key === key));
    };

    // All small charts have the same scale, with round ends.
    const sharedScale = (values) => {
        const low = values.reduce((a, b) => Math.min(a, b), Infinity);
        const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
        const step = 10 ** Math.floor(Math.log10(high - low || 1));
        return values.length ? { min: Math.floor(low / step) * step, max: Math.ceil(high / step) * step } : {};
    };

    const captionOf = ({ key, value, found, change }) => {
        const name = `${key} = ${report.short(value)}`;
        if (change && change.value !== null) return `${name}: ${report.figure(change.value)}, baseline ${report.figure(change.before)}`;
        return `${name}: ${report.figure(found.findLast((known) => known !== null))}`;
    };

    const showSlices = () => {
        const { data, version, key } = shown;
        const slices = slicesOf(data, version, key);
        const drawn = slices.filter((slice) => slice.found.some((value) => value !== null));
        const part = all.getAttribute("aria-pressed") === "true" ? drawn : drawn.slice(0, WORST);
        const values = part.flatMap((slice) => slice.found.filter((value) => value !== null));
        const whole = slices.length && data.trends.find((row) => row.version === slices[0].version);
        const y = sharedScale(values);
        report.multiples("slices", part.map((slice) => ({
            caption: captionOf(slice),
            option: report.trend({
                lines: [
                    ...(whole ? [{ name: "whole model", time: whole.time, value: whole.value, colour: "#8c8c8c", dash: "dotted" }] : []),
                    { name: report.short(slice.value), time: slice.time, value: slice.found, colour: report.style(slice.version).colour },
                ],
                isSmall: true, y,
            }),
        })), 130);
        all.hidden = drawn.length <= WORST;
        all.textContent = part.length < drawn.length ? `Show all ${drawn.length}` : `Show the worst ${WORST}`;
        const first = slices.find((slice) => slice.change);
        document.getElementById("slices-of").textContent = !slices.length
            ? "No slice to show: name columns under “slices” in the model's configuration, or choose another version."
            : `${report.short(slices[0].version)}, worst first${first ? `: by how the window from ${first.change.start} to ${first.change.end} changed from the baseline, beyond the rest of the model` : ": by the last known value"}. Grey and dotted is the whole model. ${slices.length - drawn.length ? `${slices.length - drawn.length} slices have never had enough labels.` : ""}`;
        report.fill(document.getElementById("slice-table"), slices.map(({ key: name, value, found, labels, status, change }) => {
            const last = change || { value: found.at(-1), before: null, difference: null, qvalue: null, labels, status };
            const dash = last.status === "ok" ? "–" : `– ${last.status.replaceAll("_", " ")}`;
            return [
                name, value, last.value === null ? dash : report.figure(last.value), report.figure(last.before),
                report.figure(last.difference), report.figure(last.qvalue, 2), last.labels.toLocaleString("en"),
            ];
        }));
    };

    const changed = async ({ version, window: size, key }) => {
        const number = ++asked;
        report.only({ window: size, version });
        const data = await report.load(windows[size]);
        if (number !== asked) return;
        const own = (rows) => rows.filter((row) => !version || row.version === version);
        const words = `rolling windows of ${size.slice(0, -1)} ${size === "1d" ? "day" : "days"}, by their end`;
        charts.trend.set(report.trend({ lines: trendLines(own(data.trends)), unit }));
        report.caption(charts.trend, `${label} of ${words}, with its 95 % interval; the grey band is the mean of the 30 days before ± 2 standard deviations`);
        charts.estimate.set(report.trend({ lines: estimateLines(own(data.estimates)), unit }));
        report.caption(charts.estimate, `${label} of ${words}: estimated without labels, with its 95 % prediction interval, and realised once labels came`);
        charts.coverage.set(report.trend({ lines: plain(own(data.coverage), "coverage", 100, ""), unit: "%", y: { max: 100 } }));
        report.caption(charts.coverage, `Label coverage in percent of predictions, ${words}`);
        charts.delay.set(report.trend({ lines: [...plain(own(data.coverage), "p50", 1, " p50", "solid"), ...plain(own(data.coverage), "p95", 1, " p95", "dashed")], unit: "hours", y: { scale: false } }));
        report.caption(charts.delay, `Hours from prediction to label, median and 95th percentile, ${words}`);
        shown = { data, version, key };
        showSlices();
    };

    all.addEventListener("click", () => {
        all.setAttribute("aria-pressed", String(all.getAttribute("aria-pressed") !== "true"));
        showSlices();
    });
    report.filters(document.getElementById("filters"), changed);
})();
