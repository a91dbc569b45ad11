"""django-cookie-consent as a WSGI app of its own: the status that a script asks for, and an answer that it logs.

Rule: as its documentation sets it up, with its log on; SQLite as the store of this project has it, so that a commit
      is on disk for both.
"""

from __future__ import annotations

import os
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

GROUPS = {"essential": ("session", "csrf_token", "cart"), "analytics": ("_ga",), "cross_site": ("ad_id",)}

settings.configure(
    SECRET_KEY=os.environ["MOUNTED_KEY"],
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="cookie_consent.urls",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "cookie_consent"],
    MIDDLEWARE=["cookie_consent.middleware.CleanCookiesMiddleware"],
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(os.environ["MOUNTED_FOLDER"]) / "django.db",
            "CONN_MAX_AGE": None,
            "OPTIONS": {"init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"},
        }
    },
    COOKIE_CONSENT_SUCCESS_URL="/status/",
)
django.setup()
call_command("migrate", verbosity=0)

from cookie_consent.models import Cookie, CookieGroup  # noqa: E402  models can be had once Django is set up

for varname, names in GROUPS.items():
    group, _ = CookieGroup.objects.get_or_create(
        varname=varname, name=varname, is_required=varname == "essential", is_deletable=varname != "essential"
    )
    for one in names:
        Cookie.objects.get_or_create(cookiegroup=group, name=one)

app = get_wsgi_application()
