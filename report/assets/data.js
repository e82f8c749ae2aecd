"use strict";
// What came in by day: lines, reasons, labels, custom metrics.
(() => {
    const DAY = 86400000;
    const data = report.data;
    const charts = new Map();
    const text = (value) => (value === null ? "–" : value.toLocaleString("en", { maximumFractionDigits: 2 }));

    // The rows of columns: [{day: milliseconds, ...}].
    const rows = (columns) => (columns.day || []).map((day, n) => ({
        ...Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[n]])),
        day: day === null ? null : Date.parse(day),
    }));
    const all = Object.fromEntries(Object.entries(data.days).map(([name, columns]) => [name, rows(columns)]));

    const set = (id, chart, marks = 0) => {
        if (!document.getElementById(id)) return;
        if (!charts.has(id)) charts.set(id, report.chart(id, { renderer: marks > 5000 ? "canvas" : "svg", chart: {} }));
        charts.get(id).set({ chart });
    };

    const tip = (unit) => (points) => [report.time(points[0].value[0])].concat(points.filter((point) => point.value[1] !== null)
        .map((point) => `${report.escaped(point.seriesName.slice(0, 80))}: ${text(point.value[1])}${unit}`)).join("<br>");

    // Axes in the colours of the theme that is on.
    const axes = ({ start, end }, name) => ({
        xAxis: { type: "time", min: start, max: end, axisLabel: { color: report.ink(), hideOverlap: true } },
        yAxis: { type: "value", name, nameTextStyle: { color: report.ink(), align: "left" }, axisLabel: { color: report.ink() }, splitLine: report.axis.splitLine },
        legend: { type: "scroll", top: 0, left: 96, right: 8, itemWidth: 34, textStyle: { color: report.ink() }, formatter: (label) => (label.length > 40 ? `${label.slice(0, 39)}…` : label) },
    });

    // A sign now and then tells lines apart without colours.
    const signs = ["circle", "triangle", "rect", "diamond", "emptyCircle", "emptyRect"];
    const line = (name, points, colour, dash = 0) => ({
        name, type: "line", symbol: signs[colour % 6], symbolSize: (_, { dataIndex }) => (dataIndex % Math.ceil(points.length / 12) ? 0 : 6), color: report.colours[colour % 6], lineStyle: { type: report.dashes[dash], width: 1.5 },
        data: report.gaps(points, DAY),
    });
    const percent = (found, name) => found.map((row) => [row.day, row[name] === null ? null : 100 * row[name]]);

    const lines = (range, found) => {
        const bars = (name, colour) => ({ name, type: "bar", stack: "lines", color: report.colours[colour], data: found.map((row) => [row.day, row[name]]), barCategoryGap: "10%" });
        set("lines", () => ({
            ...axes(range, "lines"), tooltip: { trigger: "axis", confine: true, formatter: tip("") },
            series: [bars("accepted", 5), bars("duplicates", 4), bars("rejected", 1)],
        }));
        set("rates", () => ({
            ...axes(range, "%"), tooltip: { trigger: "axis", confine: true, formatter: tip(" %") },
            series: [["duplicate_rate", "duplicate"], ["reject_rate", "rejected"], ["field_issue_rate", "with field issues"]]
                .map(([name, label], n) => line(label, percent(found, name), n, n)),
        }));
    };

    // A row for each reason, so that rare ones are seen too.
    const reasons = (id, range, found) => {
        const element = document.getElementById(id);
        if (!element) return;
        const sums = new Map();
        found.forEach((row) => sums.set(row.reason, (sums.get(row.reason) || 0) + row.count));
        const names = [...sums.keys()].sort((one, other) => sums.get(other) - sums.get(one));
        const most = Math.max(1, ...found.map((row) => row.count));
        const width = element.clientWidth < 600 ? 120 : 240;
        element.style.height = `${Math.max(names.length, 1) * 36 + 44}px`;
        set(id, () => ({
            ...axes(range, ""),
            grid: { left: width + 12, right: 20, top: 8, bottom: 32 },
            tooltip: { trigger: "item", confine: true, formatter: ({ value }) => `${report.time(value[0])}<br>${report.escaped(names[value[1]].slice(0, 80))}: ${text(value[2])}` },
            yAxis: { type: "category", data: names, inverse: true, axisTick: { show: false }, splitLine: { show: true, ...report.axis.splitLine }, axisLabel: { color: report.ink(), width, overflow: "truncate", interval: 0 } },
            series: [{
                type: "scatter", color: report.isDark() ? "#56b4e9" : "#0072b2", itemStyle: { opacity: 0.75 }, symbolSize: ([, , count]) => 5 + 21 * Math.sqrt(count / most),
                data: found.filter((row) => names.includes(row.reason)).map((row) => [row.day, names.indexOf(row.reason), row.count]),
            }],
        }), all[id].length);
        charts.get(id).instance.resize();
    };

    // A version keeps its colour and sign whatever is chosen.
    const versions = [...new Set([...all.labels, ...all.custom].map((row) => row.version))];
    const byVersion = (found, measures) => versions.flatMap((version, colour) => {
        const own = found.filter((row) => row.version === version);
        return own.length ? measures(own, version, colour) : [];
    });

    const labels = (range, found) => {
        set("coverage", () => ({
            ...axes(range, "%"), tooltip: { trigger: "axis", confine: true, formatter: tip(" %") },
            series: byVersion(found, (own, version, colour) => [line(`${version} now`, percent(own, "latest"), colour), line(`${version} when due`, percent(own, "as_known"), colour, 1)]),
        }));
        set("delay", () => ({
            ...axes(range, "hours"), tooltip: { trigger: "axis", confine: true, formatter: tip(" h") },
            series: byVersion(found, (own, version, colour) => ["p50", "p95"].map((name, dash) => line(`${version} ${name}`, own.map((row) => [row.day, row[name]]), colour, dash))),
        }));
    };

    const corrections = (range, found) => set("corrections", () => ({
        ...axes(range, "%"), tooltip: { trigger: "axis", confine: true, formatter: tip(" %") }, legend: { show: false },
        series: [line("corrected", percent(found, "rate"), 0)],
    }));

    // Custom metrics have units of their own: a chart for each.
    const metrics = [...new Set(all.custom.map((row) => row.metric))].slice(0, 12);
    metrics.forEach((metric, n) => {
        const figure = document.createElement("figure");
        const canvas = document.createElement("div");
        const caption = document.createElement("figcaption");
        const label = `${metric.slice(0, 80)} by version, windows of ${data.window}`;
        Object.assign(canvas, { id: `custom-${n}`, className: "canvas", role: "img", ariaLabel: label });
        canvas.style.height = "220px";
        caption.textContent = label;
        figure.className = "chart";
        figure.append(canvas, caption);
        document.getElementById("custom").append(figure);
    });
    const custom = (range, found) => metrics.forEach((metric, n) => set(`custom-${n}`, () => ({
        ...axes(range, ""), tooltip: { trigger: "axis", confine: true, formatter: tip("") },
        series: byVersion(found.filter((row) => row.metric === metric), (own, version, colour) => [line(version, own.map((row) => [row.day, row.value]), colour)]),
    })));

    const changed = ({ version, from, to }) => {
        const days = Object.values(all).flat().map((row) => row.day).filter((day) => day !== null);
        if (!days.length) return;
        const bounds = days.reduce(([first, last], day) => [Math.min(first, day), Math.max(last, day)], [Infinity, -Infinity]);
        const range = { start: from ? Date.parse(from) : bounds[0], end: (to ? Date.parse(to) : bounds[1]) + DAY };
        const fits = (row) => row.day !== null && row.day >= range.start && row.day < range.end && (!version || !row.version || row.version === version);
        const found = Object.fromEntries(Object.entries(all).map(([name, own]) => [name, own.filter(fits)]));
        lines(range, found.quality);
        reasons("rejected", range, found.rejected);
        reasons("issues", range, found.issues);
        labels(range, found.labels);
        corrections(range, found.corrections);
        custom(range, found.custom);
        for (const row of document.querySelectorAll("tr[data-day]")) {
            row.hidden = !fits({ day: Date.parse(row.dataset.day), version: row.dataset.version });
        }
    };
    report.filters(document.getElementById("filters"), changed);
})();
