// Before the page is drawn, so that it does not flash.
(() => {
    let chosen = null;
    try { chosen = localStorage.getItem("theme"); } catch { /* a page from disk may have no storage */ }
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
