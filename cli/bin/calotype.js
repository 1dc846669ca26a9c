#!/usr/bin/env node
/** @file Starts the calotype command; the program itself is built from cli/src into cli/dist. */
import '../dist/main.js';
