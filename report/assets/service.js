"use strict";
// Days of a year, hours of some weeks, minutes of some days.
(() => {
    const { days, alerts, releases, months } = report.data;
    const grain = document.getElementById("grain");
    const names = ["latency", "rate", "errors"];
    const charts = Object.fromEntries(names.map((id) => [id, report.chart(id, { chart: {} })]));
    const DAY = 86400000;
    let asked = 0;

    // Days have a version each; hours and minutes come as lists of one version.
    const lists = (parts) => parts.flatMap((part) => part.minute.map((minute, n) => ({
        time: 60000 * minute, version: `${part.version} ${part.role}`, requests: part.requests[n],
        error_rate: part.error_rate[n], p50: part.p50[n], p95: part.p95[n], p99: part.p99[n],
    })));
    const columns = (parts) => parts.flatMap((part) => (part.time || []).map((time, n) => ({
        time: Date.parse(time), version: `${part.version[n]} ${part.role[n]}`, requests: part.requests[n],
        error_rate: part.error_rate[n], p50: part.p50[n], p95: part.p95[n], p99: part.p99[n],
    })));

    const lines = (rows, step, measures) => {
        const series = [];
        const versions = [...new Set(rows.map((row) => row.version))];
        versions.forEach((version, colour) => measures.forEach(([measure, scale], dash) => {
            const points = rows.filter((row) => row.version === version)
                .map((row) => [row.time, row[measure] === null ? null : row[measure] * scale]);
            series.push({
                name: measures.length > 1 ? `${version} ${measure}` : version, type: "line", symbol: "none",
                data: report.signs(report.gaps(points, step)),
                lineStyle: { type: report.dashes[dash], width: 1.5, color: report.colours[colour % 6] },
                itemStyle: { color: report.colours[colour % 6] },
            });
        }));
        return series;
    };

    const marks = (from, to) => ({
        markArea: {
            silent: true, itemStyle: { color: "rgba(213,94,0,.15)" },
            data: alerts.filter((alert) => alert.severity === "page").map((alert) => [
                { xAxis: Math.max(Date.parse(alert.fired_at), from) },
                { xAxis: Math.min(Date.parse(alert.resolved_at || new Date(to).toISOString()), to) },
            ]).filter(([start, end]) => start.xAxis < end.xAxis),
        },
        markLine: {
            silent: true, symbol: "none", label: { formatter: ({ name }) => name, color: report.ink() }, lineStyle: { type: "dotted", color: report.ink() },
            data: releases.map((release) => ({ name: `${release.model_version} ${release.role}`, xAxis: Date.parse(release.first_day) }))
                .filter((line) => line.xAxis > from && line.xAxis < to),
        },
    });

    const show = (rows, step, unit, from, to) => {
        grain.textContent = `by ${unit}, ${report.time(from)} to ${report.time(to)}`;
        const x = { type: "time", min: from, max: to, axisLabel: { hideOverlap: true, color: report.ink() } };
        const tip = (digits) => (points) => `${report.time(points[0].value[0])}<br>` + points.filter((point) => point.value[1] !== null)
            .map((point) => `${report.escaped(point.seriesName)}: ${point.value[1].toLocaleString("en", { maximumFractionDigits: digits })}`).join("<br>");
        const option = (measures, digits, unitName) => {
            const series = lines(rows, step, measures);
            if (series.length) Object.assign(series[0], marks(from, to));
            return { tip: tip(digits), chart: { xAxis: x, yAxis: { type: "value", name: unitName, nameTextStyle: { color: report.ink() }, axisLabel: { color: report.ink() }, splitLine: report.axis.splitLine }, series, tooltip: { trigger: "axis", confine: true, formatter: tip(digits) } } };
        };
        charts.latency.set(option([["p50", 1], ["p95", 1], ["p99", 1]], 1, "ms"));
        charts.rate.set(option([["requests", 1]], 0, `per ${unit}`));
        charts.errors.set(option([["error_rate", 100]], 3, "%"));
    };

    // The list has the newest first.
    const items = [...document.querySelectorAll("#alerts tbody tr")].reverse();
    const showAlerts = (version, from, to) => {
        alerts.forEach((alert, n) => {
            const isOver = alert.resolved_at && Date.parse(alert.resolved_at) <= from;
            items[n].hidden = Date.parse(alert.fired_at) >= to || isOver || Boolean(version && !version.startsWith(`${alert.model_version} `));
        });
        const none = document.getElementById("no-alerts");
        if (none) none.hidden = items.some((item) => !item.hidden);
    };

    const changed = async ({ version, from, to }) => {
        const number = ++asked;
        const all = columns([days]);
        if (!all.length) { grain.textContent = "no request yet"; return; }
        const first = Math.min(...all.map((row) => row.time));
        const last = Math.max(...all.map((row) => row.time)) + DAY;
        const start = from ? Date.parse(from) : first;
        const end = to ? Date.parse(to) + DAY : last;
        const span = (end - start) / DAY;
        let rows = all;
        let unit = "day";
        if (span > 0 && span <= 45) {
            const wanted = Object.keys(months).filter((month) => month >= new Date(start).toISOString().slice(0, 7) && month <= new Date(end - 1).toISOString().slice(0, 7));
            const parts = await Promise.all(wanted.map((month) => report.load(months[month])));
            if (number !== asked) return;
            unit = span <= 3 ? "minute" : "hour";
            rows = lists(parts.flatMap((part) => part[`${unit}s`]));
        }
        rows = rows.filter((row) => row.time >= start && row.time < end && (!version || row.version === version));
        showAlerts(version, start, end);
        show(rows, { day: DAY, hour: 3600000, minute: 60000 }[unit], unit, start, end);
    };
    report.filters(document.getElementById("filters"), changed);
})();
