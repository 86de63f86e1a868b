"""What holds for every test: hypothesis measures no time. Speed is for `bench/`; a busy machine is no mistake."""

from hypothesis import HealthCheck, settings

settings.register_profile("drill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("drill")
