"""A learner's page: nothing that anybody handed in acts on it, and a learner finds what there is to learn."""

import re

import pytest

EVIL = "http://evil.example"
# Each would show itself by a dialog, a request or an element.
MARKDOWN = f"""\
My *remark*: <script>alert("script")</script><img src={EVIL}/a.png onerror=alert("img")>
<svg onload=alert("svg")></svg> <iframe src="{EVIL}/frame"></iframe> <style>@import url({EVIL}/style);</style>
[link](javascript:alert("link")) ![picture]({EVIL}/b.png) ![](attachment:c.png) <{EVIL}/d>

$$\\href{{javascript:alert("display")}}{{x}}$$ and $\\href{{javascript:alert("inline")}}{{x}}$

```
</code></pre><script>alert("fence")</script>
```

\\begin{{equation}}
\\href{{javascript:alert("environment")}}{{y}} \\unicode{{x}}
\\end{{equation}}
</div></div></body><script>alert("end")</script>
# A heading
> a quote
"""
CODE = f"""\
# </code></pre><script>alert("comment")</script>
from IPython.display import HTML, Javascript, Markdown, display
display(HTML('<script>alert("html")</script><img src={EVIL}/e.png onerror=alert("display")>'))
display(Javascript('alert("javascript")'), Markdown('![]({EVIL}/f.png)'))
print('<img src={EVIL}/g.png onerror=alert("printed")>')
print('\\x1b[31mred\\x1b[0m \\x1b]0;owned\\x07')
print('\\x1b]8;;javascript:alert("ansi")\\x1b\\\\link\\x1b]8;;\\x1b\\\\')
print('y' * 5000)
long = '{"z" * 2000}'
"""
RAISES = """raise ValueError('<script>alert("error")</script>')"""
# What a function gives back, or raises, may come to stand in the message of its check.
ANSWER = """

class Bad(Exception):
    def __str__(self):
        return '<script>alert("message")</script><img src=http://evil.example/h.png onerror=alert("m")>'

def {name}(*arguments, **named):
    raise Bad
"""


@pytest.fixture(scope="module")
def hostile(shared, notebooks):
    """The page of somebody who would like to reach the reader, and the command's words."""
    notebook = notebooks.solved()
    for cell in notebook["cells"]:
        marks = cell["metadata"].get("nbgrader", {})
        if marks.get("grade_id") == "scales":
            cell["source"] = ANSWER.format(name="scales")
    own = [("markdown", MARKDOWN), ("code", CODE), ("code", RAISES), ("raw", MARKDOWN)]
    notebook = notebooks.with_cells(notebook, *own)
    for cell in notebook["cells"]:
        if cell["id"].startswith("own"):
            cell["attachments"] = {"c.png": {"image/png": "AAAA"}}
            cell["metadata"]["tags"] = ["</script><script>alert('tag')</script>"]
    notebook["metadata"]["title"] = notebook["metadata"]["kernelspec"]["name"] = (
        "<script>alert('title')</script>"
    )
    student = "O'Hara & alert(1) &lt;b&gt;"
    shared.hand_in(student, notebook)
    said = shared.grade()
    (page,) = shared.path.glob("feedback/*/*/*.html")
    return shared, student, page, said


@pytest.fixture
def opened(hostile, browser):
    """The page in a browser, with all dialogs and requests."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    dialogs, requests = [], []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(hostile[2].as_uri())
    page.wait_for_timeout(500)
    yield page, dialogs, requests
    context.close()


def test_nothing_acts(hostile, opened):
    page, dialogs, requests = opened
    assert dialogs == []
    assert [url for url in requests if not url.startswith("file:")] == []
    for bad in ("script", "iframe", "svg", "img", "[onerror]", "[onload]"):
        assert page.locator(bad).count() == 0, bad
    assert page.locator("a[href^='javascript:']").count() == 0
    # What was written is there, as it was written.
    assert page.locator("pre", has_text='<script>alert("script")</script>').count() == 2
    assert page.locator("h1", has_text="A heading").count() == 0
    assert page.locator(
        "pre", has_text='<img src=http://evil.example/g.png onerror=alert("printed")>'
    ).count()
    assert page.locator("h4").inner_text().startswith(hostile[1])


def test_the_page_forbids_what_nobody_needs(hostile, browser):
    """Were something of a learner's taken for markup after all, it would neither run nor reach anybody."""
    text = hostile[2].read_text(encoding="utf-8")
    bad = f"<img src={EVIL}/x.png onerror=alert(1)><script>alert(2)</script><script src={EVIL}/x.js></script>"
    worse = hostile[2].with_name("worse.html")
    worse.write_text(text.replace("<h1", f"{bad}<h1", 1), encoding="utf-8")
    context = browser.new_context()
    page = context.new_page()
    dialogs, asked = [], []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("response", lambda response: asked.append(response.url))
    failed = {}
    page.on("requestfailed", lambda request: failed.update({request.url: request.failure}))
    page.goto(worse.as_uri())
    page.wait_for_timeout(500)
    worse.unlink()
    assert page.locator("img[onerror]").count() == 1
    assert dialogs == []
    # None of them left the browser: it is the page's policy that stopped them, not the missing network.
    assert {why for url, why in failed.items() if "evil" in url} <= {"csp", "net::ERR_BLOCKED_BY_CSP"}
    assert not [url for url in asked if "evil" in url]
    context.close()


def test_nothing_acts_on_a_terminal_or_a_spreadsheet(hostile):
    course, _, page, said = hostile
    texts = [said.out, page.read_text(encoding="utf-8")]
    texts += [(course.path / name).read_text(encoding="utf-8") for name in ("grades.csv", "tasks.csv")]
    texts += [path.read_text(encoding="utf-8") for path in course.path.glob("autograded/*/*/*")]
    for text in texts:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert "<script>" in {row["task"]: row["message"] for row in course.table("tasks")}["scales"]


@pytest.mark.parametrize("width", [390, 1200])
def test_a_learner_finds_the_way(opened, width):
    page, _, _ = opened
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("meta[name=viewport]").count() == 1
    listed = page.locator("#toc li").all_text_contents()
    assert listed == [
        "✓ predictions (Score: 2.0 / 2.0)",
        "✗ scales (Score: 0.0 / 3.0)",
        "✓ unit-factors (Score: 3.0 / 3.0)",
    ]
    page.locator("#toc a", has_text="scales").click()
    message = page.locator("div.cell:has(a[name='scales-check']) .output_error")
    assert message.inner_text().startswith("Not yet. ")
    box = message.bounding_box()
    assert 0 < box["y"] < 900
    assert 0 <= box["x"] < box["x"] + box["width"] <= width
    # The course's pages are elsewhere: no link leads nowhere.
    assert page.locator("a[href^='..']").count() == 0
    assert page.locator("summary").first.evaluate("one => getComputedStyle(one).display") == "list-item"
