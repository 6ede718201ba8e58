"""Who reads which stream, and how far behind its end."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("collect", "0004_pace")]

    operations = [
        migrations.AddField(model_name="pollstate", name="stream_readers", field=models.BinaryField(default=b"")),
    ]
