"use strict";
// Are scores right, and how far groups are apart, for the window size that is chosen.
(() => {
    const { windows } = report.data;
    const ece = report.chart("ece", { chart: {} });
    const gaps = report.chart("gaps", { chart: {} });
    let asked = 0;

    const interval = (colour) => ({
        type: "custom", silent: true, z: 2, encode: { x: 0, y: [1, 2] },
        renderItem: (params, api) => {
            const [x, y1] = api.coord([api.value(0), api.value(1)]);
            const [, y2] = api.coord([api.value(0), api.value(2)]);
            return { type: "line", shape: { x1: x, y1, x2: x, y2 }, style: { stroke: colour, lineWidth: 2, opacity: 0.6 } };
        },
    });

    // As a bar it would widen the axis, which has to be that of the curve above.
    const counts = (colour) => ({
        type: "custom", xAxisIndex: 1, yAxisIndex: 1, encode: { x: [0, 1], y: 2 },
        renderItem: (params, api) => {
            const [x, y] = api.coord([api.value(0), api.value(2)]);
            const [right, bottom] = api.coord([api.value(1), 0]);
            return { type: "rect", shape: { x: x + 1, y, width: right - x - 2, height: bottom - y }, style: { fill: colour, opacity: 0.6 } };
        },
    });

    const reliability = (curve) => {
        const { colour } = report.style(curve.version);
        const axis = (more) => report.valueAxis({ scale: false, min: 0, nameLocation: "middle", ...more });
        return {
            chart: {
                legend: { show: false },
                grid: [{ left: 56, right: 12, top: 12, height: 190 }, { left: 56, right: 12, top: 226, height: 56 }],
                xAxis: [
                    axis({ max: 1, axisLabel: { show: false } }),
                    axis({ max: 1, gridIndex: 1, name: "score", nameGap: 24, nameTextStyle: { get color() { return report.ink(); } } }),
                ],
                yAxis: [
                    axis({ max: 1, name: "share of positives", nameGap: 32, nameTextStyle: { get color() { return report.ink(); } } }),
                    axis({ gridIndex: 1, splitNumber: 2, name: "labels", nameGap: 44, nameTextStyle: { get color() { return report.ink(); } }, axisLabel: { get color() { return report.ink(); }, formatter: (value) => Intl.NumberFormat("en", { notation: "compact" }).format(value), hideOverlap: true } }),
                ],
                tooltip: {
                    trigger: "item", confine: true,
                    formatter: ({ dataIndex: n }) => `Scores ${report.figure(curve.score_lower[n])} to ${report.figure(curve.score_upper[n])}<br>mean ${report.figure(curve.score[n])}<br>positives ${report.figure(curve.rate[n])}${report.range(curve.lower[n], curve.upper[n])}<br>${curve.labels[n].toLocaleString("en")} labels`,
                },
                series: [
                    { type: "line", silent: true, symbol: "none", data: [[0, 0], [1, 1]], lineStyle: { type: "dashed", width: 1, color: "#8c8c8c" }, tooltip: { show: false } },
                    { ...interval(colour), data: curve.score.map((x, n) => [x, curve.lower[n], curve.upper[n]]) },
                    { type: "line", z: 3, symbolSize: 8, data: curve.score.map((x, n) => [x, curve.rate[n]]), lineStyle: { color: colour }, itemStyle: { color: colour } },
                    { ...counts(colour), data: curve.labels.map((y, n) => [curve.score_lower[n], curve.score_upper[n], y]) },
                ],
            },
        };
    };

    const showCurves = (curves, [key, value]) => {
        const shown = curves.filter((curve) => curve.key === key && curve.value === value);
        report.multiples("curves", shown.map((curve) => ({
            caption: `${report.short(curve.version)}, ${curve.start} to ${curve.end}`,
            option: reliability(curve),
        })), 320);
        document.getElementById("no-curves").hidden = shown.length > 0;
        report.fill(document.getElementById("curve-table"), shown.flatMap((curve) => curve.score.map((score, n) => [
            curve.version, `${report.figure(curve.score_lower[n])} to ${report.figure(curve.score_upper[n])}`, report.figure(score),
            `${report.figure(curve.rate[n])}${report.range(curve.lower[n], curve.upper[n])}`, curve.labels[n].toLocaleString("en"),
        ])));
    };

    const showGaps = (rows, metric, words) => {
        const isRatio = metric.endsWith("_ratio");
        const shown = rows.filter((row) => row.metric === metric);
        const several = new Set(shown.map((row) => row.key)).size > 1;
        const guarded = shown.find((row) => row.guardrail !== null);
        gaps.set(report.trend({
            lines: shown.flatMap((row) => {
                const name = several ? `${report.short(row.version)}, ${report.short(row.key)}` : report.short(row.version);
                const { colour } = report.style(row.version);
                return [
                    { version: row.version, name, time: row.time, value: row.value, colour },
                    { name: `${name}, ${isRatio ? "upper" : "lower"} bound`, time: row.time, value: row.bound, colour, dash: "dashed", width: 1 },
                ];
            }),
            unit: isRatio ? "ratio" : "0 to 1",
            limit: guarded && [guarded.guardrail, `guardrail ${report.figure(guarded.guardrail)}`],
            // The guardrail is in sight, though all gaps be far below.
            y: { scale: false, max: isRatio ? 1 : ({ max }) => Math.ceil(20 * Math.max(max, guarded ? guarded.guardrail : 0) + 0.2) / 20 },
        }));
        report.caption(gaps, !metric ? "No gap between groups is known" : `${metric.replaceAll("_", " ")} between groups, ${words}; dashed is the ${isRatio ? "upper" : "lower"} end of its 95 % interval${guarded ? ", dotted the guardrail" : "; there is no guardrail for this window size"}`);
    };

    const changed = async ({ version, window: size, group, gap = "" }) => {
        const number = ++asked;
        report.only({ window: size, version, gap });
        const data = await report.load(windows[size]);
        if (number !== asked) return;
        const own = (rows) => rows.filter((row) => !version || row.version === version);
        const words = `rolling windows of ${size.slice(0, -1)} ${size === "1d" ? "day" : "days"}, by their end`;
        showCurves(own(data.curves), group ? JSON.parse(group) : ["all", "all"]);
        ece.set(report.trend({
            lines: own(data.calibration).flatMap((row) => {
                const { colour } = report.style(row.version);
                return [
                    { version: row.version, name: report.short(row.version), time: row.time, value: row.ece, colour },
                    { name: `${report.short(row.version)}, noise floor`, time: row.time, value: row.floor, colour, dash: "dotted" },
                ];
            }),
            unit: "0 to 1", y: { scale: false },
        }));
        report.caption(ece, `Expected calibration error, ${words}; dotted is the noise floor, which right scores would show by chance`);
        showGaps(own(data.gaps), gap, words);
    };
    report.filters(document.getElementById("filters"), changed);
})();
