# Every target is `python3 tools/bootstrap.py <target>`, which makes .venv on its first run.
#
#   make test PYTHON=python3.12 ARGS="tests/rules -x"

PYTHON ?= python3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test bench lint clean

help:
	@echo "make demo    prepare some images with a pipeline and show what came out"
	@echo "make test    run all tests but the slow ones"
	@echo "make bench   measure throughput and latency beside the alternatives"
	@echo "make lint    check format, style and types"
	@echo "make clean   remove .venv and all caches"

demo test bench lint clean:
	@$(PYTHON) tools/bootstrap.py $@ $(ARGS)
