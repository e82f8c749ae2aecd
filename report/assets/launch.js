"use strict";
// One criterion look by look: the difference, what is certain, and the margin.
(() => {
    const form = document.getElementById("filters");
    const { looks } = report.data;
    if (!form || !looks.length) return;
    const chosen = form.elements.criterion;
    for (const name of new Set(looks.map((look) => look.criterion))) chosen.add(new Option(name));
    const chart = report.chart("looks", { chart: {} });

    report.filters(form, ({ launch, criterion }) => {
        const rows = looks.filter((look) => look.key === launch && look.criterion === criterion);
        const points = (field) => rows.map((look) => [Date.parse(look.time), look[field]]);
        const margins = rows.map((look) => [Date.parse(look.time), look.is_lower_worse ? -look.margin : look.margin]);
        const ink = report.ink();
        // The first looks are so unsure that they would hide all others.
        const most = Math.max(...rows.map((look) => Math.max(3 * look.margin, 2 * Math.abs(look.difference))));
        const line = (name, data, colour, type) => ({
            name, type: "line", data, symbolSize: 4, lineStyle: { color: colour, type }, itemStyle: { color: colour },
        });
        chart.set({
            chart: {
                xAxis: { type: "time", axisLabel: { color: ink, hideOverlap: true } },
                yAxis: { type: "value", min: -most, max: most, name: criterion, nameTextStyle: { color: ink, align: "left" }, axisLabel: { color: ink, formatter: (value) => Number(value.toPrecision(2)) }, splitLine: report.axis.splitLine },
                series: [
                    line("difference", points("difference"), report.colours[0], "solid"),
                    line("certain from", points("lower"), report.colours[5], "dashed"),
                    line("certain up to", points("upper"), report.colours[5], "dashed"),
                    line("margin", margins, report.colours[1], "dotted"),
                ],
                tooltip: {
                    trigger: "axis", confine: true,
                    formatter: (found) => `${report.time(found[0].value[0])}<br>` + found.map((one) => `${one.seriesName}: ${one.value[1].toPrecision(3)}`).join("<br>"),
                },
            },
        });
    });
})();
