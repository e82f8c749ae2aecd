"use strict";
// Features by days; below, one feature from all sides. A window is known by its last day, and a
// day is a whole number since 1970.
(() => {
    const { folder, features, flags, multivariate } = report.data;
    // As STATE in report/pages/drift.py writes them: sign, word, colour.
    const STATES = {
        s: ["✖", "significant", "page"], m: ["▲", "moderate", "ticket"], n: ["✔", "none", "well"],
        u: ["?", "not judged: no drift in the whole model", "unknown"],
        b: ["?", "unknown: nothing to compare with", "unknown"],
        i: ["?", "unknown: insufficient data", "unknown"],
    };
    const get = (id) => document.getElementById(id);
    const dayOf = (text) => Math.floor(Date.parse(text) / 86400000);
    const dateOf = (day) => new Date(day * 86400000).toISOString().slice(0, 10);
    const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumSignificantDigits: digits }));
    const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toLocaleString("en", { maximumFractionDigits: 2 })} %`);
    const short = (text, length = 40) => (text.length > length ? `${text.slice(0, length)}…` : text);
    const sum = (counts) => counts.reduce((total, count) => total + count, 0);

    // --- Tables, of texts and elements.
    const make = (tag, content = [], attributes = {}) => {
        const element = document.createElement(tag);
        element.append(...[content].flat());
        for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
        return element;
    };
    const outside = (text) => make("bdi", text);
    const level = (state) => {
        const [sign, word, colour] = STATES[state];
        return make("span", [make("span", sign, { "aria-hidden": "true" }), ` ${word}`], { class: `state ${colour}` });
    };
    // Columns of numbers stand to the right, as the head says.
    const fill = (id, rows) => {
        const heads = get(id).closest("table").querySelectorAll("th");
        get(id).replaceChildren(...rows.map((row) => make("tr", row.map((cell, n) => make("td", cell, { class: heads[n].className })))));
    };
    const resize = (chart, height) => {
        chart.element.style.height = `${height}px`;
        chart.instance.resize();
    };
    const tell = (chart, text) => {
        chart.element.setAttribute("aria-label", text);
        chart.element.parentElement.querySelector("figcaption").textContent = text;
    };

    // --- Lines of windows. Without a version, live ones: each window of the worst of them.
    const chosen = (lines, version) => lines.filter((line) => (version ? line.version === version : line.version.endsWith(" live")));
    const cellsOf = (lines, from, to) => {
        const cells = new Map();
        for (const line of lines) {
            line.days.forEach((day, n) => {
                if (day < from || day > to) return;
                const cell = { day, ratio: line.ratios[n], state: line.states[n], version: line.version };
                const other = cells.get(day);
                if (!other || worse(cell, other)) cells.set(day, cell);
            });
        }
        return cells;
    };
    const worse = (one, other) => "uibnms".indexOf(one.state) - "uibnms".indexOf(other.state) > 0 || (one.state === other.state && one.ratio > other.ratio);
    const summary = (cells) => {
        const all = [...cells.values()];
        const count = (state) => all.filter((cell) => cell.state === state).length;
        return { windows: all.length, significant: count("s"), moderate: count("m"), most: all.reduce((most, cell) => (cell.ratio !== null && !(cell.ratio <= most) ? cell.ratio : most), null) };
    };
    const byMatter = (one, other) => other.significant - one.significant || other.moderate - one.moderate || other.most - one.most;

    // --- A map: a row a feature or slice, a column a window, a mark where there is drift.
    const axisText = () => ({ color: report.ink(), hideOverlap: true });
    const drawMap = (chart, rows, label) => {
        const days = rows.flatMap((row) => [...row.cells.keys()]);
        const first = days.reduce((least, day) => Math.min(least, day), Infinity);
        const last = days.reduce((most, day) => Math.max(most, day), -Infinity);
        const columns = days.length ? Array.from({ length: last - first + 1 }, (_, n) => first + n) : [];
        const marks = (state) => rows.flatMap((row, y) => [...row.cells.values()].filter((cell) => cell.state === state).map((cell) => [cell.day - first, y]));
        const tip = ({ value }) => {
            const row = rows[value[1]];
            const cell = row.cells.get(first + value[0]);
            return `${report.escaped(short(row.name))}<br>window up to ${dateOf(cell.day)}, ${report.escaped(short(cell.version))}<br>PSI ${number(cell.ratio)} times its noise: ${STATES[cell.state][1]}`;
        };
        resize(chart, rows.length ? 40 + 20 * rows.length : 24);
        tell(chart, rows.length ? label : "No window to show");
        chart.set(!rows.length ? { chart: {} } : {
            chart: {
                grid: { left: 168, right: 12, top: 8, bottom: 28 },
                tooltip: { confine: true, formatter: tip },
                legend: { show: false },
                xAxis: { type: "category", data: columns.map(dateOf), axisLabel: axisText(), axisTick: { show: false } },
                yAxis: { type: "category", inverse: true, data: rows.map((_, y) => y), axisTick: { show: false }, triggerEvent: true, axisLabel: { color: report.ink(), width: 156, overflow: "truncate", interval: 0, formatter: (y) => short(rows[y].name) } },
                visualMap: {
                    type: "piecewise", show: false, dimension: 2, seriesIndex: 0,
                    pieces: [
                        { lt: 1, color: report.isDark() ? "#353c47" : "#e3e6ea" }, { gte: 1, lt: 2, color: "#56b4e9" },
                        { gte: 2, lt: 5, color: "#e69f00" }, { gte: 5, color: "#d55e00" },
                    ],
                },
                series: [
                    { type: "heatmap", progressive: 0, data: rows.flatMap((row, y) => [...row.cells.values()].filter((cell) => cell.ratio !== null).map((cell) => [cell.day - first, y, cell.ratio])) },
                    { type: "scatter", symbol: "rect", symbolSize: [1.5, 10], silent: true, itemStyle: { color: report.ink() }, data: marks("s") },
                    { type: "scatter", symbol: "circle", symbolSize: 5, silent: true, itemStyle: { color: "transparent", borderColor: report.ink() }, data: marks("m") },
                ],
            },
        });
        chart.picked = (event) => (event.componentType === "yAxis" ? { row: rows[event.value] } : { row: rows[event.value[1]], day: dateOf(first + event.value[0]) });
    };

    // --- Lines over time; a window that is not there is a gap.
    const line = (name, days, values, colour, dash) => {
        const points = days.map((day, n) => [day * 86400000, values[n]]);
        const shade = report.colours[colour % 6];
        return { name, type: "line", data: report.signs(report.gaps(points, 86400000)), symbol: "none", itemStyle: { color: shade }, lineStyle: { color: shade, width: 1.5, type: report.dashes[dash] } };
    };
    const drawLines = (chart, series, label, unit, more = {}) => {
        const tip = (points) => `window up to ${report.time(points[0].value[0])}<br>` + points.filter((point) => point.value[1] !== null)
            .map((point) => `${report.escaped(short(point.seriesName))}: ${number(point.value[1])}`).join("<br>");
        tell(chart, label);
        chart.set({
            chart: {
                tooltip: { trigger: "axis", confine: true, formatter: tip },
                legend: { type: "scroll", top: 0, textStyle: { color: report.ink() }, formatter: (name) => short(name), data: series.filter((one) => one.type === "line").map((one) => one.name) },
                xAxis: { type: "time", axisLabel: axisText() },
                yAxis: { type: "value", name: unit, nameTextStyle: { color: report.ink() }, axisLabel: { color: report.ink() }, splitLine: report.axis.splitLine, ...more },
                series,
            },
        });
    };

    // --- The parts of the page.
    const size = (window) => Number.parseInt(window, 10);
    const flagged = (feature, version, from, to) => flags.filter((flag) => flag.feature === feature && flag.version === version && flag.days.some((day) => day >= from && day <= to))
        .map((flag) => flag.integrity_check.replaceAll("_", " "));

    const showMap = (rows, view) => {
        const drifting = rows.filter((row) => row.significant).length;
        const windows = rows.reduce((most, row) => Math.max(most, row.windows), 0);
        get("says").textContent = rows.length ? `${windows} windows; ${drifting} of ${rows.length} features with a significant one`
            : "No window: choose another version or other dates";
        drawMap(charts.map, rows, `PSI over its noise, ${rows.length} features by ${windows} windows of ${size(view.window)} d; the features that moved most come first. Choose one to see it below.`);
        fill("newest", rows.map((row) => {
            // The newest window; of versions that share it, the one that answered it last.
            const one = row.lines.reduce((best, other) => (other.days.at(-1) >= best.days.at(-1) ? other : best));
            const day = one.days.at(-1);
            const { psi, noise, ks, missing, missing_before, count } = one.newest;
            const button = make("button", outside(row.name), { type: "button" });
            button.addEventListener("click", () => pick({ row }));
            return [
                button, level(one.states.at(-1)), number(psi), number(noise), number(one.ratios.at(-1)), number(ks), percent(missing), percent(missing_before),
                flagged(row.name, one.version, day - size(view.window) + 1, day).join(", ") || "none",
                `${row.significant} of ${row.windows}`, String(row.moderate), number(row.most), dateOf(day), outside(one.version), number(count, 9),
            ];
        }));
    };

    const showDistribution = (panel, name, view, day, version) => {
        const found = panel.cells.find((group) => group.days.some((other, n) => other === day && group.versions[n] === version));
        const where = `window of ${size(view.window)} d up to ${day === undefined ? "–" : dateOf(day)}`;
        const before = view.comparison ? "window before" : "baseline";
        if (!found) {
            fill("cells", []);
            resize(charts.distribution, 24);
            tell(charts.distribution, `No distribution: the PSI of the ${where} is unknown`);
            charts.distribution.set({ chart: {} });
            return;
        }
        const window = found.days.findIndex((other, n) => other === day && found.versions[n] === version);
        const current = found.current[window];
        const earlier = found.baseline || found.before[window];
        const cells = current.map((count, n) => ({
            label: labelOf(found.edges[n], found.categories[n]), before: earlier[n], now: count,
            shareBefore: earlier[n] / Math.max(1, sum(earlier)), shareNow: count / Math.max(1, sum(current)),
        }));
        fill("cells", cells.map((cell) => [outside(cell.label), number(cell.before, 9), percent(cell.shareBefore), number(cell.now, 9), percent(cell.shareNow)]));
        // Of many categories, those that changed most; the table has them all.
        const moved = (cell) => Math.abs(cell.shareNow - cell.shareBefore);
        const most = new Set([...cells].sort((one, other) => moved(other) - moved(one)).slice(0, 32));
        const shown = cells.filter((cell) => most.has(cell));
        resize(charts.distribution, 72 + 28 * shown.length);
        tell(charts.distribution, `${short(name)}: share of predictions by cell, ${where}, against the ${before}${shown.length < cells.length ? `; the ${shown.length} of ${cells.length} cells that changed most` : ""}`);
        const bars = (title, key, itemStyle) => ({ name: title, type: "bar", data: shown.map((cell) => 100 * cell[key]), itemStyle, barGap: "0%", barCategoryGap: "30%" });
        charts.distribution.set({
            chart: {
                grid: { left: 120, right: 24, top: 32, bottom: 32 },
                tooltip: { trigger: "axis", confine: true, formatter: (points) => `${report.escaped(short(shown[points[0].dataIndex].label))}<br>` + points.map((point) => `${point.seriesName}: ${number(point.value)} %`).join("<br>") },
                xAxis: { type: "value", axisLabel: { color: report.ink(), formatter: "{value} %" }, splitLine: report.axis.splitLine },
                yAxis: { type: "category", inverse: true, data: shown.map((_, n) => n), axisLabel: { color: report.ink(), width: 108, overflow: "truncate", interval: 0, formatter: (n) => short(shown[n].label) } },
                // One is hollow, so that they are told apart without colour.
                series: [bars(before, "shareBefore", { color: "transparent", borderColor: report.ink(), borderWidth: 1 }), bars("this window", "shareNow", { color: report.colours[0] })],
            },
        });
    };
    const labelOf = ([lower, upper], category) => {
        if (category !== null) return category;
        if (lower === null && upper === null) return "all values";
        if (lower === null) return `up to ${number(upper, 4)}`;
        if (upper === null) return `over ${number(lower, 4)}`;
        return lower === upper ? `= ${number(lower, 6)}` : `${number(lower, 4)} to ${number(upper, 4)}`;
    };

    const showFeature = (panel, name, type, view) => {
        const lines = chosen(panel.series, view.version);
        const cells = cellsOf(lines, view.start, view.end);
        const day = cells.has(dayOf(view.day)) ? dayOf(view.day) : [...cells.keys()].sort((one, other) => one - other).at(-1);
        const cell = cells.get(day);
        const { windows, significant, moderate } = summary(cells);
        const against = view.comparison ? "the window before" : "the baseline";
        get("feature").replaceChildren(outside(name), ` (${type})`);
        const integrity = flags.filter((flag) => flag.feature === name).map((flag) => `${flag.integrity_check.replaceAll("_", " ")} on ${flag.days.length} ${flag.days.length === 1 ? "day" : "days"} of ${flag.version}`);
        get("facts").replaceChildren(...(cell ? [
            `Window up to ${dateOf(day)} of `, outside(cell.version), `, against ${against}: `, level(cell.state), cell.ratio === null ? ". " : `, PSI ${number(cell.ratio)} times its noise. `,
            `Of ${windows} windows ${significant} are significant, ${moderate} moderate. `, view.day && day !== dayOf(view.day) ? `There is no window up to ${view.day}; this is the newest. ` : "",
        ] : ["No window of this version and these dates. "]), integrity.length ? outside(`Integrity: ${integrity.join("; ")}.`) : "");
        showDistribution(panel, name, view, day, cell?.version);

        const rows = lines.flatMap((one, colour) => one.days.map((end, n) => ({ one, colour, end, n })).filter(({ end }) => end >= view.start && end <= view.end));
        const perVersion = (build) => lines.flatMap((one, colour) => {
            const own = rows.filter((row) => row.one === one);
            return build(one, colour, own.map((row) => row.end), (key) => own.map(({ n }) => one[key][n]));
        });
        drawLines(charts.psi, perVersion((one, colour, days, values) => [
            line(`${one.version} PSI`, days, values("psi"), colour, 0), line(`${one.version} noise`, days, values("noise"), colour, 1),
            { name: `${one.version} significant`, type: "scatter", silent: true, tooltip: { show: false }, symbol: "diamond", symbolSize: 7, itemStyle: { color: report.ink() }, data: days.map((end, n) => [end * 86400000, values("states")[n] === "s" ? values("psi")[n] : null]) },
        ]), `${short(name)}: PSI against ${against} and its noise (dashed); diamonds are significant`, "PSI");
        const inPercent = (values) => values.map((value) => (value === null ? null : 100 * value));
        const shares = perVersion((one, colour, days, values) => [["missing", "missing"], ["new_categories", "new categories"], ["out_of_range", "out of range"]]
            .filter(([key]) => values(key).some((value) => value !== null)).map(([key, word], dash) => line(`${one.version} ${word}`, days, inPercent(values(key)), colour, dash)));
        drawLines(charts.shares, shares, `${short(name)}: missing, new and out-of-range values, in percent of the predictions`, "%", { min: 0 });
        fill("windows", rows.sort((one, other) => other.end - one.end).map(({ one, n, end }) => [
            dateOf(end), outside(one.version), level(one.states[n]), number(one.psi[n]), number(one.noise[n]), number(one.ks[n]),
            percent(one.missing[n]), percent(one.new_categories[n]), percent(one.out_of_range[n]), number(one.count[n], 9),
        ]));
        showSlices(panel, name, view, day);
    };

    const showSlices = (panel, name, view, day) => {
        const groups = Map.groupBy(chosen(panel.slices, view.version), (one) => JSON.stringify(one.slice));
        const all = [...groups.values()].map((lines) => {
            const cells = cellsOf(lines, view.start, view.end);
            return { name: lines[0].slice.join(" = "), cells, ...summary(cells) };
        });
        const rows = all.filter((row) => row.most !== null).sort(byMatter);
        const unknown = all.length - rows.length;
        get("sliced").textContent = [
            all.length ? "A slice is judged only where the feature drifts in the whole model." : "No slice: name some in slices of the model in the var monitored_models.",
            unknown ? `${unknown} of ${all.length} slices are not shown: no window of theirs has enough predictions.` : "",
            panel.left_out ? `Nor are the ${panel.left_out} slices that moved least.` : "",
        ].join(" ");
        drawMap(charts.slices, rows, `${short(name)}: PSI over its noise, by slice and window`);
        fill("sliceRows", rows.map((row) => {
            const cell = row.cells.get(day);
            return [outside(row.name), cell ? level(cell.state) : "– (no predictions)", number(cell?.ratio), `${row.significant} of ${row.windows}`, number(row.most)];
        }));
    };

    const showClassifier = (view) => {
        const rows = chosen(multivariate, view.version).filter((row) => row.day >= view.start && row.day <= view.end);
        const versions = [...new Set(rows.map((row) => row.version))];
        const series = versions.flatMap((version, colour) => {
            const own = rows.filter((row) => row.version === version);
            const shade = report.colours[colour % 6];
            const points = own.map((row) => [row.day * 86400000, row.auc]);
            return [
                { name: version, type: "line", data: points.map((value, n) => ({ value, symbol: { significant: "diamond", moderate: "triangle" }[own[n].drift_level] || "emptyCircle" })), symbolSize: 9, itemStyle: { color: shade }, lineStyle: { color: shade, width: 1 } },
                { name: `${version} own windows`, type: "line", data: own.map((row) => [row.day * 86400000, row.own]), showSymbol: false, lineStyle: { color: shade, type: "dashed", width: 1 }, itemStyle: { color: shade } },
                { name: `${version} interval`, type: "custom", silent: true, tooltip: { show: false }, data: own.filter((row) => row.lower !== null).map((row) => [row.day * 86400000, row.lower, row.upper]), renderItem: (_, api) => {
                    const [x, y1] = api.coord([api.value(0), api.value(1)]);
                    const [, y2] = api.coord([api.value(0), api.value(2)]);
                    return { type: "line", shape: { x1: x, y1, x2: x, y2 }, style: { stroke: shade, lineWidth: 1.5 } };
                } },
            ];
        });
        drawLines(charts.auc, series, "AUC of the classifier with its 95 % interval; diamonds are significant, triangles moderate; dashed is what 95 of 100 windows of the baseline stay under", "AUC", { min: 0, max: 1 });
    };

    // --- What is asked for.
    const charts = {};
    for (const id of ["map", "distribution", "psi", "shares", "slices", "auc"]) {
        if (get(id)) charts[id] = report.chart(id, { renderer: id === "map" || id === "slices" ? "canvas" : "svg", chart: {} });
    }
    let asked = 0;
    const changed = (fields) => show(fields).catch((error) => { get("says").textContent = `No such windows: ${error.message}`; });
    const show = async (fields) => {
        const turn = ++asked;
        const view = { ...fields, start: fields.from ? dayOf(fields.from) : -Infinity, end: fields.to ? dayOf(fields.to) : Infinity };
        const path = `${folder}/${view.window}-${view.comparison || "baseline"}`;
        if (charts.auc) showClassifier(view);
        const lines = chosen(await report.load(`${path}.js`), view.version);
        if (turn !== asked) return;
        const rows = [...Map.groupBy(lines, (one) => one.feature)].map(([feature, own]) => {
            const cells = cellsOf(own, view.start, view.end);
            return { feature, name: features[feature][0], lines: own, cells, ...summary(cells) };
        }).filter((row) => row.windows).sort(byMatter);
        showMap(rows, view);
        const wanted = features.findIndex(([name]) => name === view.feature);
        const feature = wanted >= 0 ? wanted : rows[0]?.feature ?? 0;
        const panel = await report.load(`${path}/${feature}.js`);
        if (turn === asked) showFeature(panel, ...features[feature], view);
    };
    if (!get("filters")) return;
    const filters = report.filters(get("filters"), changed);
    const pick = ({ row, day }) => {
        filters.set({ feature: row.name, ...(day && { day }) });
        get("feature").focus();
        get("feature").scrollIntoView();
    };
    charts.map.instance.on("click", (event) => pick(charts.map.picked(event)));
    charts.slices.instance.on("click", (event) => { const { day } = charts.slices.picked(event); if (day) filters.set({ day }); });
})();
