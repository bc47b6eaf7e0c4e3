"""The report in a real browser: it draws, controls work, nothing is fetched, foreign text runs nothing."""

import dataclasses
import json
import shutil

import pytest

from grokscope.report.page import page
from grokscope.results import Comparison

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not CHROMIUM or not DRIVER,
    reason="chromium and chromedriver are needed: apt install chromium chromium-driver",
)
QUIET = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--window-size=1200,900",
]
PATIENCE = 20  # seconds until something that must happen has happened
HOSTILE = "</script><script>window.ran=1</script><img src=x onerror='window.ran=2'>\u2028\"'`${window.ran=3}"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is needed: pip install selenium")
    folder = tmp_path_factory.mktemp("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in [*QUIET, f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """An open report, in words."""

    def __init__(self, driver):
        self.driver = driver

    def js(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def click(self, selector):
        self.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self.one(selector).click()

    def switch(self, group, label):
        """Click the checkbox beside `label`."""
        for found in self.all(f"#{group} label"):
            if found.text == label:
                self.js("arguments[0].scrollIntoView({block: 'center'})", found)
                found.click()
                return
        raise AssertionError(f"no switch {label!r} in {group}")

    def eventually(self, code, *arguments):
        """Wait until the JavaScript expression is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, PATIENCE).until(lambda _: self.js(f"return {code}", *arguments), code)

    @property
    def panels(self):
        return [figure.get_attribute("data-panel") for figure in self.all(".panel")]

    def ink(self, selector):
        """How many pixels of a canvas are not blank, and how many colours they have."""
        return self.js(
            "const c = document.querySelector(arguments[0]);"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let n = 0; const seen = new Set();"
            "for (let i = 0; i < d.length; i += 4) { if (d[i + 3]) n++;"
            " if (d[i + 3] === 255) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); }"
            "return [n, seen.size]",
            selector,
        )

    def picture(self, selector):
        return self.js("return document.querySelector(arguments[0]).toDataURL()", selector)

    def span(self):
        return [int(self.one(f"#zoom-{end}").get_attribute("value")) for end in ("from", "to")]

    def log(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture
def opened(chromium, tmp_path):
    """Write HTML, open it, and find nothing wrong with it, then and when the test is over."""
    pages = []

    def open_page(html, width=1200, dark=False, media=""):
        path = tmp_path / "report.html"
        path.write_text(html)
        wished = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wished.items()]
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        found = Page(chromium)
        found.log(), found.requests()  # those of pages before
        chromium.get(path.as_uri())
        found.eventually("document.readyState === 'complete'")
        pages.append((found, path.as_uri()))
        return found

    yield open_page
    for found, address in pages:
        assert found.log() == []
        own = ("data:", "chrome:")  # the page's icon; the browser's first, empty tab
        fetched = [url for url in found.requests() if not url.startswith(own)]
        assert set(fetched) <= {address}
        assert found.js("return performance.getEntriesByType('resource').length") == 0


@pytest.fixture
def report(opened, comparison_of, scored, phased):
    found = comparison_of(3)
    scores = scored(
        ("oinfo.synergy", 0.3, "leads"),
        ("oinfo.redundancy", -0.2, "lags"),
        ("weight_norm.l2_all", 0.0, "confounded"),
    )
    phases = {run: phased(("emergence", 5, 90), ("decoupling", 95, 295)) for run in found.runs}
    return opened(page(found, scores, phases))


def test_it_draws(report):
    report.eventually("document.querySelectorAll('.panel canvas').length === 4")
    assert report.one("h1").text == "modadd · clauw"
    for selector in (".panel canvas", "[data-panel='1'] canvas", "#pareto-plot canvas"):
        pixels, colours = report.ink(selector)
        assert pixels > 2000
        assert colours > 5
    assert len(report.all("#phases-body rect")) == 6
    assert len(report.all("#runs-sorted tbody tr")) == 3
    ends = [
        [float(bar.get_attribute(name)) for name in ("x", "width")] for bar in report.all(".bar rect")[:2]
    ]
    assert 0 < ends[1][0] - sum(ends[0]) < 2, "phases that follow one another touch"


def test_measures_are_chosen(report):
    assert report.panels == ["accuracy", "0", "1", "2"]
    report.switch("panels-switches", "synergy")
    report.switch("panels-switches", "loss")
    assert report.panels == ["accuracy", "loss", "1", "2"]
    for label in ("accuracy", "loss", "redundancy", "l2_all"):
        report.switch("panels-switches", label)
    assert report.panels == []
    assert "No measure is chosen" in report.one("#panels").text


def test_runs_are_switched_on_and_off(report):
    whole, rows = report.picture("[data-panel='0'] canvas"), len(report.all("#values-table tbody tr"))
    report.switch("runs-switches", "seed 1")
    report.eventually(
        "document.querySelector('[data-panel=\"0\"] canvas').toDataURL() !== arguments[0]", whole
    )
    assert len(report.all("#values-table tbody tr")) == rows * 2 // 3
    report.click("#runs-none")
    assert "No run is shown" in report.one("#panels").text
    report.click("#runs-all")
    report.eventually(
        "document.querySelector('[data-panel=\"0\"] canvas').toDataURL() === arguments[0]", whole
    )


def test_axes_are_logarithmic_or_linear(report):
    drawn = {report.picture(".panel canvas")}
    for selector in (
        "input[name=axis][value=linear]",
        "input[name=values][value=log]",
        "input[name=axis][value=log]",
    ):
        report.click(selector)
        report.eventually(
            "!arguments[0].includes(document.querySelector('.panel canvas').toDataURL())", list(drawn)
        )
        drawn.add(report.picture(".panel canvas"))
    assert len(drawn) == 4


def drag(report, start, end):
    from selenium.webdriver import ActionChains

    over = report.one(".panel .u-over")
    report.js("arguments[0].scrollIntoView({block: 'center'})", over)
    width = over.size["width"]
    chain = ActionChains(report.driver, duration=20)
    chain.move_to_element_with_offset(over, int(width * (start - 0.5)), 0).click_and_hold()
    chain.move_to_element_with_offset(over, int(width * (end - 0.5)), 0).release().perform()


def test_a_drag_zooms_all_plots_and_the_zoom_can_be_taken_back(report):
    assert report.span() == [0, 295]
    assert not report.one("#zoom-reset").is_enabled()
    whole = {panel: report.picture(f"[data-panel='{panel}'] canvas") for panel in report.panels}
    drag(report, 0.4, 0.7)
    report.eventually("!document.getElementById('zoom-reset').disabled")
    low, high = report.span()
    assert 0 < low < high < 295
    for panel, before in whole.items():
        selector = f"[data-panel='{panel}'] canvas"
        report.eventually(
            "document.querySelector(arguments[0]).toDataURL() !== arguments[1]", selector, before
        )
    report.click("input[name=axis][value=linear]")
    assert report.span() == [low, high], "the zoom is in steps, whatever the axis"
    report.click("input[name=axis][value=log]")
    report.click("#zoom-reset")
    assert report.span() == [0, 295]
    for panel, before in whole.items():
        selector = f"[data-panel='{panel}'] canvas"
        report.eventually(
            "document.querySelector(arguments[0]).toDataURL() === arguments[1]", selector, before
        )


def test_the_zoom_can_be_typed(report):
    field = report.one("#zoom-from")
    report.js("arguments[0].scrollIntoView({block: 'center'})", field)
    field.clear()
    report.one("#zoom-to").click()
    report.js("document.getElementById('zoom-from').value = '50'")
    report.js("document.getElementById('zoom-from').dispatchEvent(new Event('change'))")
    assert report.span() == [50, 295]


def test_values_are_read_by_hovering(report):
    from selenium.webdriver import ActionChains

    over = report.one("[data-panel='0'] .u-over")
    report.js("arguments[0].scrollIntoView({block: 'center'})", over)
    ActionChains(report.driver, duration=20).move_to_element(over).perform()
    reading = report.one("[data-panel='0'] .reading")
    assert reading.is_displayed()
    assert reading.text.startswith("step ")
    assert "seed 2" in reading.text


def test_plots_are_used_by_keyboard(report, comparison_of):
    from selenium.webdriver.common.keys import Keys

    frame = report.one("[data-panel='0'] .frame")
    report.js("arguments[0].focus()", frame)
    frame.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert frame.get_attribute("aria-valuenow") == "10"
    course = next(iter(comparison_of(3).runs.values())).course("oinfo.synergy")
    assert f"seed 0 {course[2]:.4g}" in frame.get_attribute("aria-valuetext").replace("  ", " ")
    frame.send_keys(Keys.END)
    assert frame.get_attribute("aria-valuenow") == "295"
    frame.send_keys("+")
    assert report.span()[0] > 0
    frame.send_keys(Keys.ESCAPE)
    assert report.span() == [0, 295]
    dots = report.one("#pareto-plot .frame")
    dots.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert "seed 1, step 5: oinfo.synergy" in dots.get_attribute("aria-valuetext")


def test_everything_is_reached_by_keyboard_and_has_a_name(report):
    from selenium.webdriver.common.keys import Keys

    def focused(expression):
        return report.js(f"const e = document.activeElement; return {expression}")

    report.one("body").send_keys(Keys.TAB)
    assert focused("e.className") == "skip"
    ring = focused("getComputedStyle(e).outlineStyle")
    assert ring != "none", "focus is visible"
    report.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert focused("e.id") == "theme"
    report.driver.switch_to.active_element.send_keys(Keys.SPACE)
    assert report.js("return document.documentElement.dataset.theme") == "dark"
    nameless = report.js(
        "const kinds = 'button, input, select, [role=slider], [role=region], [role=img]';"
        "const named = (e) => e.labels?.length || e.textContent.trim() || e.ariaLabel;"
        "return [...document.querySelectorAll(kinds)]"
        ".filter((e) => !named(e) && !e.getAttribute('aria-labelledby')).map((e) => e.outerHTML)"
    )
    assert nameless == []
    lost = report.js(
        "return [...document.querySelectorAll('[aria-labelledby], [aria-describedby]')].flatMap((e) =>"
        "`${e.getAttribute('aria-labelledby') || ''} ${e.getAttribute('aria-describedby') || ''}`.split(' '))"
        ".filter((id) => id && !document.getElementById(id))"
    )
    assert lost == []


def test_tables_sort(report):
    def column(at):
        return [row.text for row in report.all(f"#scores-sorted tbody tr > :nth-child({at})")]

    head = "#scores-sorted thead th:nth-child(3)"
    assert column(1) == ["oinfo.synergy", "oinfo.redundancy", "weight_norm.l2_all"]
    report.click(f"{head} button")
    assert report.one(head).get_attribute("aria-sort") == "descending"
    assert column(1) == ["oinfo.synergy", "weight_norm.l2_all", "oinfo.redundancy"]
    report.click(f"{head} button")
    assert report.one(head).get_attribute("aria-sort") == "ascending"
    assert column(1) == ["oinfo.redundancy", "weight_norm.l2_all", "oinfo.synergy"]
    report.click("#scores-sorted thead th:nth-child(1) button")
    assert column(1) == sorted(column(1))
    assert report.one(head).get_attribute("aria-sort") == "none"
    report.click("#runs-sorted thead th:nth-child(2) button")
    assert report.one("#runs-sorted tbody th").text.endswith("s2")


def test_the_theme_follows_the_system_and_the_button(opened, comparison_of):
    html = page(comparison_of(2))
    seen = {}
    for dark in (False, True):
        found = opened(html, dark=dark)
        assert found.one("#theme").get_attribute("aria-pressed") == str(dark).lower()
        seen[dark] = (
            found.js("return getComputedStyle(document.body).backgroundColor"),
            found.picture("canvas"),
        )
    assert seen[False][0] != seen[True][0]
    assert seen[False][1] != seen[True][1], "the plots change with the page"
    found.click("#theme")
    found.eventually("document.querySelector('canvas').toDataURL() === arguments[0]", seen[False][1])
    assert found.js("return getComputedStyle(document.body).backgroundColor") == seen[False][0]


def test_other_columns_can_be_set_against_each_other(report):
    from selenium.webdriver.support.ui import Select

    before = report.picture("#pareto-plot canvas")
    select = report.one("#pareto-x")
    assert Select(select).first_selected_option.text == "oinfo.synergy"
    report.js("arguments[0].scrollIntoView({block: 'center'})", select)
    Select(select).select_by_visible_text("weight_norm.l2_all")
    report.eventually("document.querySelector('#pareto-plot canvas').toDataURL() !== arguments[0]", before)
    assert "weight_norm.l2_all" in report.one("#pareto-plot .frame").get_attribute("aria-label")


def test_a_narrow_screen_is_not_scrolled_sideways(opened, comparison_of, scored):
    found = opened(page(comparison_of(3), scored(("oinfo.synergy", 0.3, "leads"))), width=360)
    assert found.js("return document.documentElement.scrollWidth") <= 360
    assert found.js("return document.querySelector('.panel canvas').clientWidth") > 250


def test_paper_has_plots_in_light_colours_and_no_controls(opened, comparison_of):
    html = page(comparison_of(2))
    light = opened(html).js("return getComputedStyle(document.body).color")
    found = opened(html, dark=True)
    dark = found.picture("canvas")
    found.js("addEventListener('afterprint', () => { window.printed = true }, {once: true})")
    pdf = found.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(pdf["data"]) > 20_000
    found.eventually("window.printed")
    assert found.js("return document.documentElement.dataset.theme") == "dark", "as it was before"
    found.eventually("document.querySelector('canvas').toDataURL() === arguments[0]", dark)
    found.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    found.js("dispatchEvent(new Event('beforeprint'))")
    found.eventually("document.querySelector('canvas').toDataURL() !== arguments[0]", dark)
    assert found.js("return getComputedStyle(document.body).color") == light
    for hidden in ("#controls", "#theme", "nav", "#pareto-controls"):
        assert not found.one(hidden).is_displayed()
    assert found.one("#values-table table").is_displayed(), "what can be unfolded is unfolded"
    assert found.ink(".panel canvas")[0] > 2000


def test_foreign_text_runs_nothing(opened, comparison_of, scored, phased):
    kind = f"x.{HOSTILE}"
    found = comparison_of(2, names=("oinfo.synergy", kind), labels=[HOSTILE, "__proto__"])
    changed = {}
    for name, results in found.runs.items():
        results.config["recipe"] = HOSTILE
        origin = dataclasses.replace(
            results.provenance["oinfo"], plugin=HOSTILE, parameters={HOSTILE: HOSTILE}
        )
        results.declared[kind] = dataclasses.replace(results.declared[kind], help=HOSTILE, unit=HOSTILE)
        changed[name] = dataclasses.replace(results, provenance={"x": origin}, messages=(HOSTILE,))
    hostile = Comparison(changed, {HOSTILE: [HOSTILE, "b"]}, {})
    report = opened(
        page(
            hostile,
            scored((HOSTILE, 0.1, HOSTILE)),
            {"__proto__": phased((HOSTILE, 0, 9), note=HOSTILE)},
            notes=[HOSTILE],
        )
    )
    report.switch("panels-switches", "accuracy")
    assert report.js("return window.ran") is None
    assert report.all("main img, main script") == []
    assert "window.ran=1</script>" in report.one("#runs-sorted tbody th").text
    assert "__proto__" in report.one("#runs-sorted").text


def test_a_report_of_one_short_run_without_a_curve_opens(opened, comparison_of):
    one = next(iter(comparison_of(1, names=("a.a",), points=2).runs.values()))
    report = opened(page(Comparison({"one": dataclasses.replace(one, curve={})}, {}, {})))
    assert report.panels == ["0"]
    assert not report.one("#pareto").is_displayed()


def test_a_script_that_is_not_the_reports_own_is_stopped_by_the_policy(chromium, tmp_path, comparison_of):
    path = tmp_path / "report.html"
    path.write_text(page(comparison_of(1)).replace("</body>", "<script>window.ran = 1</script></body>"))
    chromium.get(path.as_uri())
    assert chromium.execute_script("return window.ran") is None
    assert any("Content Security Policy" in entry["message"] for entry in chromium.get_log("browser"))
