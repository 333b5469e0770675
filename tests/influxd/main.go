// Command influxd is an InfluxDB 2.8.0 server for the tests of perpflux.
//
// It holds the storage engine, the queries and the HTTP API, and leaves out the web page
// and the maintenance commands, which no test asks for.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/influxdata/influxdb/v2"
	"github.com/influxdata/influxdb/v2/cmd/influxd/launcher"
	"github.com/spf13/viper"

	// The storage engine and its index register themselves when they are imported.
	_ "github.com/influxdata/influxdb/v2/tsdb/engine/tsm1"
	_ "github.com/influxdata/influxdb/v2/tsdb/index/tsi1"
)

// What /health reports. The version must follow go.mod; the date is fixed so that equal
// inputs give an equal binary.
const (
	version   = "2.8.0"
	commit    = "perpflux-tests"
	buildDate = "2026-01-01T00:00:00Z"
)

// leashVariable makes the server end with the process that started it, even where that
// one was killed: the server stops once its standard input is closed.
const leashVariable = "PERPFLUX_TEST_STOP_WITH_STDIN"

func main() {
	if os.Getenv(leashVariable) != "" {
		go stopWithStdin()
	}
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "influxd:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	influxdb.SetBuildInfo(version, commit, buildDate)
	command, err := launcher.NewInfluxdCommand(ctx, viper.New())
	if err != nil {
		return fmt.Errorf("set up the command line: %w", err)
	}
	// main reports the error, without a page of flags.
	command.SilenceErrors = true
	command.SilenceUsage = true
	return command.Execute()
}

// stopWithStdin asks for an orderly stop, as SIGTERM from outside would.
func stopWithStdin() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
}
