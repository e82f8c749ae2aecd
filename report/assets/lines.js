"use strict";
// Lines over days with their bands, small multiples, tables: for the pages of performance and groups.
(() => {
    const DAY = 86400000;
    const LONGEST = 40;
    const DASHES = ["solid", "dashed", [10, 3, 2, 3]];

    // A name from outside: no longer than can be shown, and isolated, as its letters may run to the left.
    report.short = (text) => `\u2068${text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text}\u2069`;
    report.figure = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumSignificantDigits: digits }));
    report.range = (lower, upper) => (lower === null || lower === undefined ? "" : ` (${report.figure(lower)} to ${report.figure(upper)})`);

    // Only the rows of tables that are about the chosen window and version.
    report.only = (chosen) => {
        for (const row of document.querySelectorAll("tr[data-window]")) {
            row.hidden = Object.entries(chosen).some(([name, value]) => value && row.dataset[name] !== undefined && row.dataset[name] !== value);
        }
        // A table without a row that is left says so, in the paragraph behind it.
        for (const empty of document.querySelectorAll(".none-left")) {
            empty.hidden = empty.previousElementSibling.querySelector("tbody tr:not([hidden])") !== null;
        }
    };

    // Colour and dashes of a version are the same in all charts of a page.
    report.style = (version) => {
        const n = Math.max(report.data.versions.indexOf(version), 0);
        return { colour: report.colours[n % 6], dash: DASHES[n % 3] };
    };

    report.caption = ({ element }, text) => {
        element.setAttribute("aria-label", text);
        element.parentElement.querySelector("figcaption").textContent = text;
    };

    // The ink is asked for when a chart is drawn, as the theme may have changed since.
    report.valueAxis = (more) => ({
        type: "value", scale: true, nameTextStyle: { get color() { return report.ink(); }, align: "left" },
        // Ends that are given, not found by ECharts, may be 0.30000000000000004.
        axisLabel: { get color() { return report.ink(); }, hideOverlap: true, formatter: (value) => report.figure(value, 6) },
        splitLine: report.axis.splitLine, ...more,
    });

    const pointsOf = ({ time, value, lower, upper }) => report.gaps(time.map((day, n) => [Date.parse(day), value[n], lower && lower[n], upper && upper[n]]), DAY);

    const seriesOf = (line, n) => {
        const points = pointsOf(line);
        const shared = { name: line.name, type: "line", silent: true, symbol: "none" };
        const series = [{
            ...shared, id: `line ${n}`, data: report.signs(points), z: 3,
            lineStyle: { type: line.dash || "solid", width: line.width || 1.5, color: line.colour },
            itemStyle: { color: line.colour },
        }];
        if (line.lower) {
            // What is between two stacked lines is the band.
            const isKnown = ([, , lower, upper]) => typeof lower === "number" && typeof upper === "number";
            const band = { ...shared, stack: `band ${n}`, stackStrategy: "all", lineStyle: { opacity: 0 } };
            series.push({ ...band, data: points.map((point) => [point[0], isKnown(point) ? point[2] : null]) });
            series.push({
                ...band, data: points.map((point) => [point[0], isKnown(point) ? point[3] - point[2] : null]),
                areaStyle: { color: line.colour, opacity: line.opacity || 0.22 },
            });
        }
        return series;
    };

    // Where versions begin, the first one aside: told by a mark too, not by colour alone.
    const startsOf = (lines) => {
        const starts = new Map();
        for (const { version, time } of lines) {
            if (version) starts.set(version, Math.min(starts.get(version) ?? Infinity, Date.parse(time[0])));
        }
        const first = Math.min(...starts.values());
        return [...starts].filter(([, start]) => start > first);
    };

    // lines: [{ version?, name, time, value, lower?, upper?, colour, dash?, width?, opacity? }]; limit: [value, name]
    report.trend = ({ lines, unit, limit, isSmall, y = {} }) => {
        const drawn = lines.filter((line) => line.value.some((value) => value !== null));
        const series = drawn.flatMap(seriesOf);
        if (series.length && !isSmall) {
            const marks = startsOf(drawn).map(([name, xAxis], n) => ({ name: report.short(name), xAxis, label: { position: "end", distance: 2 + 13 * (n % 2) } }));
            if (limit) marks.push({ name: limit[1], yAxis: limit[0], label: { position: "insideEndTop" }, lineStyle: { type: "dotted", width: 2 } });
            series[0].markLine = {
                silent: true, symbol: "none", data: marks, lineStyle: { type: "dotted", width: 1, get color() { return report.ink(); } },
                label: { formatter: ({ name }) => name, get color() { return report.ink(); } },
            };
        }
        const tip = (points) => `Window to ${report.time(points[0].value[0])}<br>` + points
            .filter((point) => point.seriesId.startsWith("line") && point.value[1] !== null)
            .map(({ seriesName, value }) => `${report.escaped(seriesName)}: ${report.figure(value[1], 4)}${report.range(value[2], value[3])}`)
            .join("<br>");
        const time = { type: "time", axisLabel: { hideOverlap: true, get color() { return report.ink(); } } };
        if (isSmall) time.splitNumber = 2;
        return {
            chart: {
                xAxis: time, yAxis: report.valueAxis({ name: unit, ...(isSmall ? { splitNumber: 2 } : {}), ...y }), series,
                tooltip: { trigger: "axis", confine: true, formatter: tip },
                legend: { show: !isSmall, type: "scroll", top: 0, itemGap: 16, itemWidth: 32, data: drawn.map(({ name }) => name), textStyle: { get color() { return report.ink(); } } },
                grid: isSmall ? { left: 44, right: 8, top: 10, bottom: 24 } : { left: 56, right: 16, top: 56, bottom: 32 },
                ...(series.length ? {} : { title: { text: "Nothing known yet", left: "center", top: "center", textStyle: { get color() { return report.ink(); }, fontSize: 14, fontWeight: "normal" } } }),
            },
        };
    };

    // A small chart for each item; what is there already is drawn anew.
    const cells = new Map();
    report.multiples = (id, items, height) => {
        const box = document.getElementById(id);
        const made = cells.get(id) || [];
        cells.set(id, made);
        items.forEach(({ caption, option }, n) => {
            if (!made[n]) {
                const figure = box.appendChild(document.createElement("figure"));
                figure.className = "chart";
                figure.append(document.createElement("figcaption"), document.createElement("div"));
                Object.assign(figure.lastChild, { id: `${id}-${n}`, className: "canvas" });
                figure.lastChild.setAttribute("role", "img");
                figure.lastChild.style.height = `${height}px`;
                made[n] = report.chart(`${id}-${n}`, option);
            }
            made[n].element.parentElement.hidden = false;
            made[n].instance.resize();
            made[n].set(option);
            report.caption(made[n], caption);
        });
        made.slice(items.length).forEach(({ element }) => { element.parentElement.hidden = true; });
    };

    // Rows of a table from texts; those of a number's column stand to the right.
    report.fill = (table, rows) => {
        const isNumber = [...table.tHead.rows[0].cells].map((cell) => cell.className === "number");
        table.tBodies[0].replaceChildren(...rows.map((texts) => {
            const row = document.createElement("tr");
            texts.forEach((text, n) => {
                const cell = row.insertCell();
                if (isNumber[n]) cell.className = "number";
                cell.appendChild(document.createElement("bdi")).textContent = text;
            });
            return row;
        }));
    };
})();
