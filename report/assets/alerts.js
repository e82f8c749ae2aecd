"use strict";
// When alerts fired, as bars and as a list; both show what the filters leave.
(() => {
    const DAY = 86400000;
    const alerts = report.data.alerts.map((alert) => ({ ...alert, from: Date.parse(alert.from), to: Date.parse(alert.to) }));
    const items = [...document.querySelectorAll(".alert")];
    const timeline = report.chart("timeline", { renderer: alerts.length > 5000 ? "canvas" : "svg", chart: {} });
    const box = timeline.element;

    // Severities differ in height and filling, not only in colour; what has not fired is dashed.
    const shape = ({ severity, state }) => {
        const hollow = (stroke, lineDash) => ({ fill: "transparent", stroke, lineWidth: 1.5, lineDash });
        if (state === "pending") return { height: 10, style: hollow(report.ink(), [3, 3]) };
        return {
            page: { height: 14, style: { fill: "#d55e00" } },
            ticket: { height: 10, style: hollow(report.isDark() ? "#56b4e9" : "#0072b2") },
        }[severity] || { height: 3, style: { fill: report.ink() } };
    };

    const bar = (shown) => (params, api) => {
        const [x, y] = api.coord([api.value(0), api.value(2)]);
        const { height, style } = shape(shown[params.dataIndex]);
        // What was short is to be seen all the same.
        const width = Math.max(api.coord([api.value(1), 0])[0] - x, 6);
        const area = params.coordSys;
        const rect = echarts.graphic.clipRectByRect({ x, y: y - height / 2, width, height }, area);
        return rect && { type: "rect", shape: rect, style };
    };

    const tip = (shown) => ({ dataIndex }) => {
        const { name, severity, state, from, to } = shown[dataIndex];
        return `${report.escaped(name.slice(0, 80))}: ${report.escaped(severity)}<br>${report.time(from)} to ${report.time(to)}${state === "resolved" ? "" : `, ${report.escaped(state)}`}`;
    };

    const draw = (shown, start, end) => {
        // What is worse stands above, and alerts of like names together.
        const order = ["page", "ticket", "info"];
        const names = [...new Set([...shown].sort((one, other) => order.indexOf(one.severity) - order.indexOf(other.severity)
            || one.name.localeCompare(other.name)).map((alert) => alert.name))];
        box.style.height = `${Math.max(names.length, 2) * 22 + 48}px`;
        timeline.instance.resize();
        const width = box.clientWidth < 600 ? 110 : 220;
        timeline.set({
            chart: () => ({
                grid: { left: width + 12, right: 20, top: 8, bottom: 32 },
                tooltip: { trigger: "item", confine: true, formatter: tip(shown) },
                xAxis: { type: "time", min: start, max: end, axisLabel: { color: report.ink(), hideOverlap: true }, splitLine: { show: true, ...report.axis.splitLine } },
                yAxis: {
                    type: "category", data: names, inverse: true, axisTick: { show: false }, splitLine: { show: true, ...report.axis.splitLine },
                    axisLabel: { color: report.ink(), width, overflow: "truncate", interval: 0 },
                },
                series: [{
                    type: "custom", renderItem: bar(shown), encode: { x: [0, 1], y: 2 }, cursor: "pointer",
                    data: shown.map((alert) => [alert.from, alert.to, names.indexOf(alert.name)]),
                }],
            }),
        });
        timeline.instance.off("click");
        timeline.instance.on("click", ({ dataIndex }) => open(shown[dataIndex].id));
    };

    const changed = ({ severity, state, name, from, to }) => {
        const start = from ? Date.parse(from) : Math.min(...alerts.map((alert) => alert.from));
        const end = to ? Date.parse(to) + DAY : Math.max(...alerts.map((alert) => alert.to));
        const fits = (alert) => (!severity || alert.severity === severity) && (!state || alert.state === state)
            && (!name || alert.name === name) && alert.from <= end && alert.to >= start;
        const shown = alerts.filter(fits);
        items.forEach((item, n) => { item.hidden = !fits(alerts[n]); });
        const words = `${shown.length} of ${alerts.length} alerts`;
        document.getElementById("count").textContent = words;
        document.getElementById("none").hidden = shown.length > 0;
        box.setAttribute("aria-label", `When ${words} fired, from ${report.time(start)} to ${report.time(end)}, a row for each name; the list below has the same`);
        draw(shown, start, end);
    };

    // An alert that is linked to is shown, whatever the filters say.
    const open = (id) => {
        const item = items.find((item) => item.dataset.alert === id);
        if (!item) return;
        item.hidden = false;
        item.open = true;
        item.scrollIntoView();
        item.querySelector("summary").focus({ preventScroll: true });
    };
    items.forEach((item) => item.addEventListener("toggle", () => {
        if (item.open) report.address.set({ alert: item.dataset.alert });
        else if (report.address.get("alert") === item.dataset.alert) report.address.set({ alert: "" });
    }));
    // A link to an alert keeps the filters that are set.
    document.getElementById("main").addEventListener("click", (event) => {
        const link = event.target.closest('a[href^="#alert="]');
        if (!link) return;
        event.preventDefault();
        const id = new URLSearchParams(link.hash.slice(1)).get("alert");
        report.address.set({ alert: id });
        open(id);
    });
    report.filters(document.getElementById("filters"), changed);
    addEventListener("hashchange", () => open(report.address.get("alert")));
    open(report.address.get("alert"));
})();
