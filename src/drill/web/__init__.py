"""The web pages of a training: the trainee's dashboard and the facilitator's control, on 127.0.0.1.

``serve(stage)`` is the way in. The pages are plain HTML, CSS and ES modules in ``static/``; they load nothing from
elsewhere and need no build.
"""

from drill.web.server import Served, serve

__all__ = ["Served", "serve"]
