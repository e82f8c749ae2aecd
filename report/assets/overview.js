"use strict";
// A year of days for each model: a column a week, a row a weekday.
for (const element of document.querySelectorAll(".strip")) {
    const days = report.data.strips[element.dataset.model] || [];
    const words = ["nothing fired", "a ticket", "a page", "no request"];
    if (!days.length) continue;
    const cells = days.map(([day, worst]) => [day, worst]);
    report.chart(element.id, {
        tip: undefined,
        chart: () => ({
            tooltip: {
                confine: true,
                formatter: ({ value, dataIndex }) => `${value[0]}: ${words[value[1]]}, ${days[dataIndex][2].toLocaleString("en")} requests`,
            },
            legend: { show: false },
            visualMap: {
                type: "piecewise", show: false, dimension: 1,
                pieces: words.map((label, value) => ({ value, label, color: ["#56b4e9", "#e69f00", "#d55e00", "#8c8c8c"][value] })),
            },
            calendar: {
                range: [days[0][0], days.at(-1)[0]], top: 24, left: 36, right: 8, bottom: 8, cellSize: ["auto", 12],
                itemStyle: { color: "transparent", borderColor: "rgba(128,128,128,.35)" },
                splitLine: { show: false },
                dayLabel: { color: report.ink(), firstDay: 1 },
                monthLabel: { color: report.ink() },
                yearLabel: { show: false },
            },
            series: [{ type: "heatmap", coordinateSystem: "calendar", data: cells }],
        }),
    });
}
