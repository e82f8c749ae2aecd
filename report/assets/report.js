"use strict";
// What all pages share: their data, the address, charts, times.
const report = (() => {
    const data = JSON.parse(document.getElementById("data").textContent);
    const root = document.body.dataset.root;
    const charts = [];
    const loaded = new Map();
    const waiting = new Map();

    // Colours that people tell apart who see few (Okabe and Ito), in both themes.
    const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
    const font = "system-ui, sans-serif";
    const dashes = ["solid", "dashed", "dotted"];
    const isDark = () => document.documentElement.dataset.theme === "dark";
    const ink = () => (isDark() ? "#e6e6e6" : "#1a1a1a");

    // Text from outside stands in tooltips as text.
    const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

    const time = (value) => {
        const text = new Date(value).toISOString();
        return text.slice(11, 19) === "00:00:00" ? text.slice(0, 10) : `${text.slice(0, 16).replace("T", " ")} UTC`;
    };

    const chart = (id, option) => {
        const element = document.getElementById(id);
        const made = echarts.init(element, null, { renderer: option.renderer || "svg", useDirtyRect: false });
        const entry = { made, option };
        charts.push(entry);
        draw(entry);
        return { element, set: (next) => { entry.option = next; draw(entry); }, instance: made };
    };

    const draw = ({ made, option }) => {
        made.setOption({
            animation: false,
            useUTC: true,
            color: colours,
            textStyle: { color: ink(), fontFamily: font },
            aria: { enabled: false },
            grid: { left: 56, right: 16, top: 36, bottom: 32 },
            // Beside the unit of the axis, which stands at the left end.
            legend: { type: "scroll", textStyle: { color: ink(), fontFamily: font }, itemGap: 16, top: 0, left: 112, right: 8 },
            tooltip: { trigger: "axis", confine: true, formatter: option.tip },
            // A function is asked anew when the theme changes.
            ...(typeof option.chart === "function" ? option.chart() : option.chart),
        }, true);
    };

    // Points of a line, [time, value, ...]. A gap in time is a gap in the line.
    const gaps = (points, step) => points.flatMap((point, n) => {
        const before = n ? points[n - 1][0] : point[0];
        return point[0] - before > step ? [[before + step, null], point] : [point];
    });
    // A point between two gaps has no line, so it gets a sign.
    const signs = (points) => points.map((value, n) => {
        const isAlone = [points[n - 1], points[n + 1]].every((other) => !other || other[1] === null);
        return isAlone ? { value, symbol: "circle", symbolSize: 4 } : value;
    });

    const axis = { axisLabel: { color: undefined, hideOverlap: true }, splitLine: { lineStyle: { opacity: 0.25 } } };

    // Data that is loaded when it is asked for comes as a script, which works from disk too.
    const load = (name) => {
        if (!loaded.has(name)) {
            loaded.set(name, new Promise((resolve, reject) => {
                waiting.set(name, resolve);
                const script = document.createElement("script");
                script.src = root + name;
                script.onerror = () => reject(new Error(`${name} is missing`));
                document.head.append(script);
            }));
        }
        return loaded.get(name);
    };
    const receive = (name, content) => waiting.get(name)(content);

    // The address holds what is looked at, so that a view can be linked to.
    const address = {
        get: (name) => new URLSearchParams(location.hash.slice(1)).get(name) || "",
        set: (values) => {
            const found = new URLSearchParams(location.hash.slice(1));
            for (const [name, value] of Object.entries(values)) {
                if (value) found.set(name, value); else found.delete(name);
            }
            history.replaceState(null, "", `#${found}`);
        },
    };

    // Fields of a form and the address say the same.
    const filters = (form, changed) => {
        const fields = [...form.elements].filter((field) => field.name);
        // The first option of a list is what is shown unless something else is asked for.
        const usual = (field) => (field.options ? field.options[0].value : "");
        const read = () => Object.fromEntries(fields.map((field) => [field.name, field.value]));
        const keep = () => address.set(Object.fromEntries(fields.map((field) => [field.name, field.value === usual(field) ? "" : field.value])));
        const fill = (field, value) => {
            field.value = value;
            // The address may name what there is not.
            if (field.selectedIndex === -1) field.value = usual(field);
        };
        const show = () => fields.forEach((field) => fill(field, address.get(field.name) || usual(field)));
        form.addEventListener("input", () => { keep(); changed(read()); });
        form.addEventListener("reset", () => setTimeout(() => {
            fields.forEach((field) => fill(field, usual(field)));
            keep();
            changed(read());
        }));
        form.addEventListener("submit", (event) => event.preventDefault());
        const again = () => { show(); changed(read()); };
        addEventListener("hashchange", again);
        // Charts hold the colours of the theme that they were drawn in.
        document.addEventListener("theme", again);
        again();
        return { set: (values) => { address.set(values); again(); } };
    };

    // Wide tables are scrolled by the keyboard too.
    for (const part of document.querySelectorAll("pre")) part.tabIndex = 0;
    for (const part of document.querySelectorAll(".scroll")) {
        part.tabIndex = 0;
        part.setAttribute("role", "region");
        part.setAttribute("aria-label", `Table: ${[...part.querySelectorAll("th")].map((cell) => cell.textContent).join(", ")}`);
    }

    document.getElementById("theme").addEventListener("click", () => {
        const theme = isDark() ? "light" : "dark";
        document.documentElement.dataset.theme = theme;
        try { localStorage.setItem("theme", theme); } catch { /* as above */ }
        charts.forEach(draw);
        document.dispatchEvent(new Event("theme"));
    });
    // The address is for what is looked at: skipping to the content leaves it as it is.
    document.querySelector(".skip").addEventListener("click", (event) => {
        event.preventDefault();
        document.getElementById("main").focus();
    });
    addEventListener("resize", () => charts.forEach(({ made }) => made.resize()));

    return { data, chart, axis, gaps, signs, load, receive, address, filters, escaped, time, colours, dashes, ink, isDark };
})();
