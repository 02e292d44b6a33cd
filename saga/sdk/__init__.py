"""For programs: sagas built, started and followed in code. Everything here is exported by `saga` itself."""
