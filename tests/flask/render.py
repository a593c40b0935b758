"""Renders templates/ with Flask into expected/, for src/template/pages/tests.rs to compare with, byte for byte.

    pip install flask && python3 tests/flask/render.py
"""

import json
import pathlib

import flask

HERE = pathlib.Path(__file__).parent
app = flask.Flask(__name__, template_folder=HERE / "templates", static_folder=HERE / "static")
frontend = flask.Blueprint("frontend", __name__)
for name, path in json.loads((HERE / "routes.json").read_text()).items():
    frontend.add_url_rule(path.replace("{", "<").replace("}", ">"), endpoint=name, view_func=lambda **_: "")
app.register_blueprint(frontend)

for template in sorted((HERE / "templates").glob("*.html")):
    with app.test_request_context("/"):
        names = json.loads((HERE / "names.json").read_text())
        text = flask.render_template(template.name, **names)
        (HERE / "expected" / template.name).write_text(text)
